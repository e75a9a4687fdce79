mod mirror;
mod table;
mod terms;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;
use async_trait::async_trait;
use pm_core::Tick;

use self::table::{Found, Receipt, Table};
use super::RateLimitStore;
use crate::{Charge, Charges, Decision, Error, Mode, Outcome};

/// Buckets in the memory of this process, of a number that is fixed from the start.
///
/// One bucket is one 64-bit word, charged by one compare-and-swap, and a mark that says whose it is
/// and under which quota: the first charge under another one converts the word. A lookup takes no lock; the
/// first charge of a bucket takes that of its shard, and sweeps a few places for one that is free:
/// never used, or holding a bucket that is full again. There is no sweeping task, and memory never
/// grows.
///
/// A bucket that is not full is never given up, so a flood of new subjects frees nobody who is
/// limited. When all places that a new bucket could have are held by such ones, it shares a bucket
/// with others in the same need, and with them has one quota: that is safe, unfair, counted in
/// [`MemoryStats::overflowed`] and logged once. Whoever shared one starts with its debt when a
/// place becomes free.
///
/// Up to some 4,000 different quotas are kept exactly. When there are more, those that come later
/// refill up to 1.6 percent more slowly than they say.
///
/// Several charges are looked at with one reading of the clock; if one does not fit, nothing is
/// written. Then they are taken one after the other. If one of them is lost to another thread in
/// between, those already taken are put back exactly as they were; one that has been charged by
/// others since stays taken, and is counted in [`MemoryStats::forfeited`].
pub struct MemoryStore {
    table: Table,
    forfeited: AtomicU64,
}

/// What a [`MemoryStore`] has counted since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryStats {
    /// Charges that stayed although they admitted nobody: each made a bucket stricter, once.
    pub forfeited: u64,
    /// How often a shared bucket spoke for one that had no place of its own.
    pub overflowed: u64,
}

impl MemoryStore {
    /// Room for `buckets` that are not full at the same time; 33 bytes for each and
    /// 64 KB for all, from the start.
    ///
    /// # Panics
    ///
    /// If `buckets` is 0.
    #[must_use]
    #[track_caller]
    pub fn bounded(buckets: usize) -> Self {
        assert!(
            buckets > 0,
            "a memory store needs room for at least one bucket"
        );
        Self {
            table: Table::new(buckets),
            forfeited: AtomicU64::new(0),
        }
    }

    /// What has been counted.
    #[must_use]
    pub fn stats(&self) -> MemoryStats {
        MemoryStats {
            forfeited: self.forfeited.load(Ordering::Relaxed) + self.table.strayed(),
            overflowed: self.table.overflowed(),
        }
    }

    #[inline]
    fn decide_now(&self, charges: &[Charge], now: Tick) -> Decision {
        match charges {
            [charge] if charge.mode() != Mode::Peek => match self.table.take(charge, now) {
                Ok(outcome) => Decision::on_one(true, outcome),
                Err(outcome) => Decision::on_one(charge.mode() == Mode::Shadow, outcome),
            },
            several => self.decide_several(several, now),
        }
    }

    fn decide_several(&self, charges: &[Charge], now: Tick) -> Decision {
        let found: ArrayVec<Found<'_>, { Charges::MAX }> = charges
            .iter()
            .map(|charge| self.table.find(charge, now))
            .collect();
        let both = || charges.iter().zip(&found);
        let look = |(charge, found): (&Charge, &Found<'_>)| found.look(charge, now);
        if both().any(|(charge, found)| {
            charge.mode() == Mode::Enforce && !found.has_room_for(charge, now)
        }) {
            return Decision::refused(both().map(look));
        }

        // In the order of their ids, so that two decisions about the same buckets meet at the
        // first of them, where neither has anything to put back yet.
        let mut order: ArrayVec<u8, { Charges::MAX }> = (0..charges.len() as u8).collect();
        order.sort_unstable_by_key(|&at| charges[usize::from(at)].bucket());

        let mut receipts: ArrayVec<Receipt<'_>, { Charges::MAX }> = ArrayVec::new();
        let mut outcomes = [Outcome::unknown(); Charges::MAX];
        for at in order.into_iter().map(usize::from) {
            let (charge, found) = (&charges[at], &found[at]);
            outcomes[at] = if charge.mode() == Mode::Peek {
                found.look(charge, now)
            } else {
                match self.table.take_found(found, charge, now) {
                    Ok((outcome, receipt)) => {
                        receipts.extend(receipt);
                        outcome
                    }
                    Err(outcome) if charge.mode() == Mode::Shadow => outcome,
                    Err(outcome) => {
                        self.put_back(receipts);
                        let mut looked: ArrayVec<_, { Charges::MAX }> = both().map(look).collect();
                        looked[at] = outcome;
                        return Decision::refused(looked);
                    }
                }
            };
        }
        Decision::admitted(outcomes.into_iter().take(charges.len()))
    }

    /// The last taken first, so that a bucket that was charged twice is as it was before.
    fn put_back(&self, receipts: ArrayVec<Receipt<'_>, { Charges::MAX }>) {
        for receipt in receipts.into_iter().rev() {
            if !receipt.put_back() {
                self.forfeited.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[async_trait]
impl RateLimitStore for MemoryStore {
    fn try_decide(&self, charges: &[Charge], now: Tick) -> Option<Decision> {
        Some(self.decide_now(charges, now))
    }

    async fn decide(self: Arc<Self>, charges: Charges, now: Tick) -> Result<Decision, Error> {
        Ok(self.decide_now(charges.as_slice(), now))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("places", &self.table.places())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(pm_loom)))]
mod tests;

#[cfg(all(test, pm_loom))]
mod loom_tests;
