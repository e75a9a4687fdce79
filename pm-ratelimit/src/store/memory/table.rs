//! The places where buckets are kept, and who may have one.
//!
//! A place is a mark and a word (the bucket's state). The mark is a tag (most of one half of the
//! bucket's id; the other half says where to look) and the number of the quota that the word is in.
//! The protocol, all of it with the atomics of safe Rust:
//!
//! * A mark is written under the lock of its shard, and never becomes 0 again. So a search ends at
//!   the first mark 0, and the same bucket is never in two places.
//! * A charge needs no lock: it reads the word, *then* checks the mark, and swaps the word against
//!   the one it read. The word that was read belongs to the mark, or the place has changed hands
//!   since, and then the swap fails or is noticed behind it: by the mark, which is checked again. A
//!   charge that landed in somebody else's word, or in a word under another quota, stays there.
//! * A place changes hands only when its bucket is full again, by swapping the very word that shows
//!   it against [`LOCKED`]: a charge that is faster keeps the place, one that is slower sees the
//!   lock.
//! * A bucket that comes with another quota is locked in the same way, and gets its new mark and its
//!   converted word.
//! * What is put back is put back under the lock of the shard, under the same mark, and only if no
//!   word of the shard has been converted since. Without conversions the words of a place never
//!   repeat an earlier tenant's, since the next one starts above them: so a word that is as it was
//!   left has not been touched.
//! * A newcomer starts no earlier than the latest moment that its shard has given up a bucket at:
//!   it may be that bucket, charged with a reading of the clock from before it was full again.

mod address;
mod raise;
mod receipt;
mod shard;

use std::sync::atomic::AtomicU64 as Counter;

use pm_core::Tick;

use self::address::Address;
pub(super) use self::receipt::Receipt;
use self::shard::{LOCKED, PLACES, Place, Shard, TAG};
use super::terms::{Term, Terms};
use crate::algorithm::Taken;
use crate::sync::Ordering;
use crate::{Charge, Mode, Outcome};

/// More shards than this gain nothing: the lock of one is held for a fraction of a microsecond.
const MAX_SHARDS: usize = 64;

pub(super) struct Table {
    shards: Box<[Shard]>,
    terms: Terms,
    strayed: Counter,
    overflowed: Counter,
}

/// A bucket that a charge was found to be of.
pub(super) struct Found<'a> {
    /// Where its word was read from; `None` if it has to be looked for again.
    at: Option<At<'a>>,
    /// Under the quota of the charge.
    word: u64,
    address: Address<'a>,
    term: Term,
}

/// A place, and how often buckets of its shard had been converted before its word was read.
#[derive(Clone, Copy)]
struct At<'a> {
    place: Place<'a>,
    conversions: u64,
}

/// A charge of a word.
struct Swapped {
    before: u64,
    after: u64,
    outcome: Outcome,
}

/// The outcome of a charge, with a receipt if something was taken.
type Answer<'a> = Result<(Outcome, Option<Receipt<'a>>), Outcome>;

impl Table {
    /// Twice as many places as buckets.
    pub(super) fn new(buckets: usize) -> Self {
        let lines = (buckets.saturating_mul(2)).div_ceil(PLACES);
        // Each with some hundred lines, so that chance fills them evenly.
        let shards = (lines / 256).clamp(1, MAX_SHARDS);
        let lines = lines.div_ceil(shards);
        Self {
            shards: (0..shards).map(|_| Shard::new(lines)).collect(),
            terms: Terms::new(),
            strayed: Counter::new(0),
            overflowed: Counter::new(0),
        }
    }

    pub(super) fn places(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lines.len() * PLACES)
            .sum()
    }

    /// Charges that landed in a bucket which had taken over the place: a stranger's.
    pub(super) fn strayed(&self) -> u64 {
        self.strayed.load(Ordering::Relaxed)
    }

    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// The bucket of the charge, without taking anything. Only a peek leaves a bucket that is under another
    /// quota as it is.
    #[inline]
    pub(super) fn find(&self, charge: &Charge, now: Tick) -> Found<'_> {
        let term = self.terms.of(charge);
        let address = self.address(charge, &term);
        if let Some(place) = address.find() {
            let conversions = address.shard.conversions.load(Ordering::Acquire);
            let word = place.word.load(Ordering::Acquire);
            if word != LOCKED && place.mark.load(Ordering::Relaxed) == address.mark {
                return Found {
                    at: Some(At { place, conversions }),
                    word,
                    address,
                    term,
                };
            }
            if let Some(word) = self.read(&address, place, &term, charge.mode(), now) {
                return Found {
                    at: None,
                    word,
                    address,
                    term,
                };
            }
        }
        let beginning = address.beginning(now);
        if beginning > 0 {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
        }
        Found {
            at: None,
            word: beginning,
            address,
            term,
        }
    }

    /// The word, under the quota of the charge, of a bucket that is changing hands or under another quota;
    /// `None` if it has left the place.
    #[cold]
    fn read(
        &self,
        address: &Address<'_>,
        place: Place<'_>,
        term: &Term,
        mode: Mode,
        now: Tick,
    ) -> Option<u64> {
        // A word that is being converted is worth waiting for.
        let _guard = address.shard.lock();
        let word = place.word.load(Ordering::Acquire);
        let mark = place.mark.load(Ordering::Relaxed);
        if !address.is_at(mark) {
            None
        } else if mark == address.mark {
            Some(word)
        } else if mode == Mode::Peek {
            Some(self.terms.convert(term, word, now, number(mark)))
        } else {
            let word = self.convert(address, place, term, now);
            place.word.store(word, Ordering::Release);
            Some(word)
        }
    }

    /// Takes the charge, giving its bucket a place if it has none. It is not to be put back.
    #[inline]
    pub(super) fn take(&self, charge: &Charge, now: Tick) -> Result<Outcome, Outcome> {
        let term = self.terms.of(charge);
        let address = self.address(charge, &term);
        if let Some(place) = address.find() {
            let word = place.word.load(Ordering::Acquire);
            if let Some(swapped) = self.swap(&address, place, &term, word, charge.cost(), now) {
                return swapped.map(|swapped| swapped.outcome);
            }
        }
        self.take_at(&address, &term, charge.cost(), now)
            .map(|(outcome, _)| outcome)
    }

    /// The same for one that was found before, with a receipt.
    #[inline]
    pub(super) fn take_found<'a>(
        &'a self,
        found: &Found<'a>,
        charge: &Charge,
        now: Tick,
    ) -> Answer<'a> {
        let Found {
            at,
            word,
            address,
            term,
        } = found;
        if let Some(at) = at
            && let Some(swapped) = self.swap(address, at.place, term, *word, charge.cost(), now)
        {
            return swapped.map(|swapped| swapped.with_receipt(address, *at));
        }
        self.take_at(address, term, charge.cost(), now)
    }

    /// The same for one that may have any place, or none.
    #[cold]
    fn take_at<'a>(
        &'a self,
        address: &Address<'a>,
        term: &Term,
        cost: u32,
        now: Tick,
    ) -> Answer<'a> {
        loop {
            if let Some(place) = address.find() {
                let conversions = address.shard.conversions.load(Ordering::Acquire);
                let word = place.word.load(Ordering::Acquire);
                if let Some(swapped) = self.swap(address, place, term, word, cost, now) {
                    let at = At { place, conversions };
                    return swapped.map(|swapped| swapped.with_receipt(address, at));
                }
            }
            if let Some(taken) = self.bring_in(address, term, cost, now) {
                return taken;
            }
        }
    }

    /// Charges the bucket at `place`, whose word was `before` a moment ago; `None` if it is no longer
    /// there, or under another quota.
    #[inline]
    fn swap(
        &self,
        address: &Address<'_>,
        place: Place<'_>,
        term: &Term,
        mut before: u64,
        cost: u32,
        now: Tick,
    ) -> Option<Result<Swapped, Outcome>> {
        loop {
            if before == LOCKED || place.mark.load(Ordering::Relaxed) != address.mark {
                return None;
            }
            let Taken {
                word: after,
                outcome,
            } = match term.gcra.take(before, now, cost) {
                Ok(taken) => taken,
                Err(refused) => return Some(Err(refused)),
            };
            let swapped = Swapped {
                before,
                after,
                outcome,
            };
            if after == before {
                return Some(Ok(swapped));
            }
            match place
                .word
                .compare_exchange(before, after, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) if place.mark.load(Ordering::Relaxed) == address.mark => {
                    return Some(Ok(swapped));
                }
                Ok(_) => {
                    self.strayed.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
                Err(changed) => before = changed,
            }
        }
    }

    /// Gives a bucket a place, or brings it under another quota, and charges it in the same breath;
    /// `None` if somebody else has done so by now.
    #[cold]
    fn bring_in<'a>(
        &self,
        address: &Address<'a>,
        term: &Term,
        cost: u32,
        now: Tick,
    ) -> Option<Answer<'a>> {
        let mut latest = address.shard.lock();
        if let Some(place) = address.find() {
            if place.mark.load(Ordering::Relaxed) == address.mark {
                return None;
            }
            let before = self.convert(address, place, term, now);
            let taken = term.gcra.take(before, now, cost);
            let after = taken.map_or(before, |taken| taken.word);
            place.word.store(after, Ordering::Release);
            let conversions = address.shard.conversions.load(Ordering::Relaxed);
            return Some(taken.map(|taken| {
                let receipt = address.receipt(place, before, after, conversions);
                (taken.outcome, (after != before).then_some(receipt))
            }));
        }
        let now = now.max(*latest);
        *latest = now;
        let beginning = address.beginning(now);
        let taken = match term.gcra.take(beginning, now, cost) {
            Ok(taken) if taken.word == beginning => return Some(Ok((taken.outcome, None))),
            Ok(taken) => taken,
            Err(refused) => {
                if beginning > 0 {
                    self.overflowed.fetch_add(1, Ordering::Relaxed);
                }
                return Some(Err(refused));
            }
        };
        let after = taken.word;
        let conversions = address.shard.conversions.load(Ordering::Relaxed);
        Some(match address.move_in(now) {
            Some((place, before)) => {
                place.word.store(after, Ordering::Release);
                let before = before.max(beginning);
                let receipt = address.receipt(place, before, after, conversions);
                Ok((taken.outcome, Some(receipt)))
            }
            None => self.share(address, term, cost, now),
        })
    }

    /// Locks the bucket at `place` and puts it under the quota of `term`. Until the word that is
    /// returned is stored nobody charges it. The shard's lock is held.
    fn convert(&self, address: &Address<'_>, place: Place<'_>, term: &Term, now: Tick) -> u64 {
        // Before the word is locked, so that whoever charged it before sees that it happened.
        address.shard.conversions.fetch_add(1, Ordering::AcqRel);
        let word = place.word.swap(LOCKED, Ordering::AcqRel);
        let before = place.mark.load(Ordering::Relaxed);
        place.mark.store(address.mark, Ordering::Release);
        self.terms.convert(term, word, now, number(before))
    }

    /// Charges the shared bucket. The shard's lock is held, so that nobody gets a place meanwhile
    /// without seeing the charge.
    fn share<'a>(&self, address: &Address<'a>, term: &Term, cost: u32, now: Tick) -> Answer<'a> {
        self.overflow();
        let word = address.shared;
        let mut before = word.load(Ordering::Acquire);
        loop {
            let taken = term.gcra.take(before, now, cost)?;
            let after = taken.word;
            match word.compare_exchange(before, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    let receipt = Receipt {
                        word,
                        before,
                        after,
                        tenancy: None,
                    };
                    return Ok((taken.outcome, Some(receipt)));
                }
                Err(changed) => before = changed,
            }
        }
    }

    /// A bucket has no place of its own.
    fn overflow(&self) {
        if self.overflowed.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                places = self.places(),
                "the rate limit store is full of limited subjects, new ones share buckets from \
                 here on: make room for more"
            );
        }
    }

    #[inline]
    fn address(&self, charge: &Charge, term: &Term) -> Address<'_> {
        let id = charge.bucket().as_u128();
        let (high, low) = ((id >> 64) as u64, id as u64);
        // Where it is, half of a digest tells: the half that is there first, so that memory can be asked for it
        // while the other half is still worked out. Ids that were numbered by hand are spread.
        let spread = low.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let tag = (low ^ high.rotate_left(32)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let shard = &self.shards[scaled((spread >> 32) as u32, self.shards.len())];
        Address {
            shard,
            home: scaled((spread >> 16) as u32, shard.lines.len()),
            // Not 0, whatever the quota.
            mark: (tag & TAG).max(!TAG + 1) | u64::from(term.number),
            shared: &shard.shared[scaled((tag >> 32) as u32, shard.shared.len())],
        }
    }
}

impl Found<'_> {
    #[cfg(all(test, not(pm_loom)))]
    pub(super) const fn has_place(&self) -> bool {
        self.at.is_some()
    }

    #[inline]
    pub(super) fn has_room_for(&self, charge: &Charge, now: Tick) -> bool {
        self.term.gcra.has_room(self.word, now, charge.cost())
    }

    /// What the charge would be answered, without taking anything.
    #[inline]
    pub(super) fn look(&self, charge: &Charge, now: Tick) -> Outcome {
        self.term.gcra.look(self.word, now, charge.cost())
    }
}

impl Swapped {
    #[inline]
    fn with_receipt<'a>(
        self,
        address: &Address<'a>,
        At { place, conversions }: At<'a>,
    ) -> (Outcome, Option<Receipt<'a>>) {
        let Self {
            before,
            after,
            outcome,
        } = self;
        let taken = after != before;
        let receipt = taken.then(|| address.receipt(place, before, after, conversions));
        (outcome, receipt)
    }
}

/// Spreads a random number evenly over `0..len`.
#[inline]
fn scaled(random: u32, len: usize) -> usize {
    ((u64::from(random) * len as u64) >> 32) as usize
}

/// The number of the quota that a place is under.
const fn number(mark: u64) -> u16 {
    (mark & !TAG) as u16
}
