use std::sync::{Mutex, MutexGuard, PoisonError};

use arrayvec::ArrayVec;
use pm_core::Tick;

use super::flight::Flight;
use super::lease::{Answered, Lease, Unspent};
use crate::store::redis::Receipt;
use crate::{BucketId, Charge, Outcome, telemetry};

/// Buckets that share a place in memory. One that finds no room there is not leased.
const WAYS: usize = 8;

/// The leases of an instance, in memory that is fixed from the start.
pub(super) struct Table(Box<[Mutex<Set>]>);

#[derive(Debug, Default)]
struct Set {
    leases: ArrayVec<Lease, WAYS>,
    spent: u64,
    lost: u64,
    /// Nothing is leased any more.
    closed: bool,
}

/// What becomes of a charge for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Drawn {
    /// Paid out of the slice.
    pub(super) paid: u32,
    /// To be taken beyond what is still to be paid.
    pub(super) ahead: u32,
}

/// What became of a charge that had to be asked about, or of one beside it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    pub(super) drawn: Drawn,
    /// It was taken: what was paid is spent.
    pub(super) taken: bool,
    /// Nothing, if the slice paid for all of it.
    pub(super) answered: Option<Answered>,
    /// What is known since the tokens ahead were taken, and how to give them back.
    pub(super) landed: Option<(Answered, Receipt)>,
}

/// Tokens, of all buckets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) outstanding: u64,
    pub(super) spent: u64,
    pub(super) lost: u64,
}

impl Table {
    pub(super) fn new(buckets: usize) -> Self {
        let sets = buckets.div_ceil(WAYS).max(1);
        Self((0..sets).map(|_| Mutex::default()).collect())
    }

    /// Spends what a charge costs, if there is as much; then what is left.
    #[inline]
    pub(super) fn spend(&self, charge: &Charge, now: Tick) -> Option<Outcome> {
        self.with(charge.bucket(), |set| {
            let lease = set.leases.iter_mut().find(|lease| lease.is_of(charge))?;
            if lease.left() < charge.cost() || !lease.is_under(charge) {
                return None;
            }
            lease.pay(charge.cost());
            set.spent += u64::from(charge.cost());
            Some(lease.look(now))
        })
    }

    /// Draws what there is for a charge that is more than that. Nothing for one that is not leased,
    /// because there is no room or because the tokens are of another quota.
    ///
    /// # Errors
    ///
    /// If somebody is about to bring more, and the charge may wait for that.
    pub(super) fn draw(
        &self,
        charge: &Charge,
        may_wait: bool,
        flight: Option<&Flight>,
    ) -> Result<Option<Drawn>, Flight> {
        self.with(charge.bucket(), |set| {
            let Some(lease) = set.leases.iter_mut().find(|lease| lease.is_of(charge)) else {
                return Ok(set.enter(charge));
            };
            if !lease.is_under(charge) {
                // Nobody will spend it any more.
                lease.was_used();
                return Ok(None);
            }
            let other = lease.flight().cloned();
            let is_short = lease.left() < charge.cost();
            if let Some(other) = &other
                && is_short
                && may_wait
            {
                return Err(other.clone());
            }
            let paid = lease.pay(charge.cost());
            set.spent += u64::from(paid);
            let ahead = match flight {
                Some(flight) if is_short && other.is_none() => lease.take_off(charge, flight),
                _ => 0,
            };
            Ok(Some(Drawn { paid, ahead }))
        })
    }

    /// Takes back what was drawn for a charge that is not taken.
    pub(super) fn put_back(&self, charge: &Charge, tokens: u32) {
        self.with(charge.bucket(), |set| set.put_back(charge, tokens));
    }

    /// Settles a charge that was drawn for. Returns what is known of it now, if there is a lease, and
    /// what is to be given back.
    pub(super) fn settle(
        &self,
        charge: &Charge,
        settled: Settled,
        now: Tick,
    ) -> (Option<Outcome>, Option<Unspent>) {
        let Settled {
            drawn,
            taken,
            answered,
            landed,
        } = settled;
        self.with(charge.bucket(), |set| {
            if !taken {
                set.put_back(charge, drawn.paid);
            }
            let Some(lease) = set.lease(charge) else {
                let homeless =
                    landed.and_then(|(_, receipt)| Unspent::of(charge, drawn.ahead, receipt));
                return (None, homeless);
            };
            let mut surplus = None;
            if let Some((answered, receipt)) = landed {
                // What does not fit has not taken what it lacked.
                let short = if taken { charge.cost() - drawn.paid } else { 0 };
                surplus = lease.land(drawn.ahead, short, charge.slice(), receipt);
                lease.learn(answered, drawn.ahead, charge.cost());
            } else if let Some(answered) = answered {
                lease.learn(answered, 0, charge.cost());
            }
            (Some(lease.look(now)), surplus)
        })
    }

    /// What has not been used since the last time, to be given back. What somebody is taking more of
    /// stays.
    pub(super) fn sweep(&self) -> Vec<Unspent> {
        let mut unspent = Vec::new();
        for set in &self.0 {
            let mut set = lock(set);
            let mut at = 0;
            while let Some(lease) = set.leases.get_mut(at) {
                if lease.was_used() || lease.flight().is_some() {
                    at += 1;
                } else {
                    unspent.extend(set.leases.swap_remove(at).into_unspent());
                }
            }
        }
        unspent
    }

    /// Ends all leases, for good: what is to be given back, and what is to be waited for.
    pub(super) fn close(&self) -> (Vec<Unspent>, Vec<Flight>) {
        let (mut unspent, mut flights) = (Vec::new(), Vec::new());
        for set in &self.0 {
            let mut set = lock(set);
            set.closed = true;
            for lease in set.leases.drain(..) {
                flights.extend(lease.flight().cloned());
                unspent.extend(lease.into_unspent());
            }
        }
        (unspent, flights)
    }

    /// So many tokens of a bucket can neither be spent nor given back.
    pub(super) fn lose(&self, charge: &Charge, tokens: u32) {
        self.with(charge.bucket(), |set| set.lose(tokens));
    }

    /// A question failed that may have taken so many tokens ahead.
    pub(super) fn fail(&self, charge: &Charge, ahead: u32) {
        self.with(charge.bucket(), |set| {
            set.lose(ahead);
            if let Some(lease) = set.lease(charge) {
                lease.hold_back();
            }
        });
    }

    pub(super) fn sums(&self) -> Sums {
        self.0.iter().fold(Sums::default(), |sums, set| {
            let set = lock(set);
            let left = set.leases.iter().map(|lease| u64::from(lease.left()));
            Sums {
                outstanding: sums.outstanding + left.sum::<u64>(),
                spent: sums.spent + set.spent,
                lost: sums.lost + set.lost,
            }
        })
    }

    /// The lock is held for a look at eight entries.
    #[inline]
    fn with<T>(&self, bucket: BucketId, work: impl FnOnce(&mut Set) -> T) -> T {
        work(&mut lock(&self.0[bucket.place(self.0.len())]))
    }
}

impl Set {
    /// A place for a bucket that is seen for the first time; it gives way to the next one as long as
    /// nothing is held of it.
    fn enter(&mut self, charge: &Charge) -> Option<Drawn> {
        if self.closed {
            return None;
        }
        if self.leases.is_full() {
            let worths = self.leases.iter().enumerate();
            let worths = worths.filter_map(|(at, lease)| Some((lease.worth()?, at)));
            let (_, at) = worths.min()?;
            self.leases.swap_remove(at);
        }
        self.leases.push(Lease::of(*charge));
        Some(Drawn { paid: 0, ahead: 0 })
    }

    fn lease(&mut self, charge: &Charge) -> Option<&mut Lease> {
        let mut leases = self.leases.iter_mut();
        leases.find(|lease| lease.is_of(charge) && lease.is_under(charge))
    }

    fn put_back(&mut self, charge: &Charge, tokens: u32) {
        let lost = match self.lease(charge) {
            Some(lease) => lease.put_back(tokens),
            None => tokens,
        };
        self.spent -= u64::from(tokens);
        self.lose(lost);
    }

    fn lose(&mut self, tokens: u32) {
        self.lost += u64::from(tokens);
        telemetry::leased("lost", tokens);
    }
}

fn lock(set: &Mutex<Set>) -> MutexGuard<'_, Set> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}
