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

mod raise;

use std::sync::PoisonError;
use std::sync::atomic::AtomicU64 as Counter;

use pm_core::Tick;

use super::terms::{self, Term, Terms};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use crate::{Charge, Mode, Outcome};

/// The word of a place that changes hands. No bucket gets there: it is 584 years away.
const LOCKED: u64 = u64::MAX;

/// The mark of a place that nobody has had yet.
const NOBODY: u64 = 0;

/// The part of a mark that says whose bucket it is.
const TAG: u64 = u64::MAX << terms::BITS;

/// Places in one line: four marks and four words are one line of cache.
const PLACES: usize = if cfg!(pm_loom) { 1 } else { 4 };

/// How many lines a bucket may be in, from its own one on. With half of all places in use, fewer
/// than one bucket in a million finds none in sixteen.
const REACH: usize = 16;

/// More shards than this gain nothing: the lock of one is held for a fraction of a microsecond.
const MAX_SHARDS: usize = 64;

pub(super) struct Table {
    shards: Box<[Shard]>,
    terms: Terms,
    strayed: Counter,
    overflowed: Counter,
}

struct Shard {
    lines: Box<[Line]>,
    /// The shared buckets of those who find no place.
    shared: Box<[AtomicU64]>,
    /// How often a bucket has been converted to another quota.
    conversions: AtomicU64,
    /// Held by whoever brings in a new bucket: the latest moment at which one came.
    newcomers: Mutex<Tick>,
}

#[repr(align(64))]
struct Line {
    marks: [AtomicU64; PLACES],
    words: [AtomicU64; PLACES],
}

/// Where one bucket is to be found.
struct Address<'a> {
    shard: &'a Shard,
    home: usize,
    /// Under the quota of the charge at hand.
    mark: u64,
    shared: &'a AtomicU64,
}

#[derive(Clone, Copy)]
struct Place<'a> {
    mark: &'a AtomicU64,
    word: &'a AtomicU64,
}

/// A charge that was taken, and how to put it back.
pub(super) struct Receipt<'a> {
    word: &'a AtomicU64,
    before: u64,
    after: u64,
    /// None for a shared bucket, which belongs to nobody and is never converted.
    tenancy: Option<Tenancy<'a>>,
}

/// Whose place it was when the charge was taken.
struct Tenancy<'a> {
    shard: &'a Shard,
    mark: &'a AtomicU64,
    tenant: u64,
    conversions: u64,
}

impl Receipt<'_> {
    /// Whether the bucket is as it was before the charge; if it has changed since, it stays.
    pub(super) fn put_back(self) -> bool {
        // Held until the end, so that nobody moves in or converts in between.
        let _guard = match &self.tenancy {
            None => None,
            Some(tenancy) => {
                let guard = tenancy.shard.lock();
                let conversions = tenancy.shard.conversions.load(Ordering::Relaxed);
                if tenancy.mark.load(Ordering::Relaxed) != tenancy.tenant
                    || conversions != tenancy.conversions
                {
                    return false;
                }
                Some(guard)
            }
        };
        self.word
            .compare_exchange(self.after, self.before, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
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

    /// What the charge would be answered, without taking anything. Only a peek leaves a bucket that
    /// is under another quota as it is.
    pub(super) fn look(&self, charge: &Charge, now: Tick) -> Outcome {
        let term = self.terms.of(charge);
        let address = self.address(charge, &term);
        let word = address
            .find()
            .and_then(|place| self.read(&address, place, &term, charge.mode(), now))
            .unwrap_or_else(|| {
                let beginning = address.beginning(now);
                if beginning > 0 {
                    self.overflowed.fetch_add(1, Ordering::Relaxed);
                }
                beginning
            });
        term.gcra.look(word, now, charge.cost())
    }

    /// The bucket's word under the quota of the charge; `None` if it has left the place.
    fn read(
        &self,
        address: &Address<'_>,
        place: Place<'_>,
        term: &Term,
        mode: Mode,
        now: Tick,
    ) -> Option<u64> {
        let word = place.word.load(Ordering::Acquire);
        let mark = place.mark.load(Ordering::Relaxed);
        if word != LOCKED && mark == address.mark {
            return Some(word);
        }
        // Rare, and a word that is being converted is worth waiting for.
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

    /// Takes the charge, giving its bucket a place if it has none.
    pub(super) fn take(&self, charge: &Charge, now: Tick) -> Answer<'_> {
        let term = self.terms.of(charge);
        let address = self.address(charge, &term);
        loop {
            if let Some(taken) = address
                .find()
                .and_then(|place| self.charge(&address, place, &term, charge.cost(), now))
            {
                return taken;
            }
            if let Some(taken) = self.bring_in(&address, &term, charge.cost(), now) {
                return taken;
            }
        }
    }

    /// Charges the bucket at `place`; `None` if it is no longer there, or under another quota.
    fn charge<'a>(
        &self,
        address: &Address<'a>,
        place: Place<'a>,
        term: &Term,
        cost: u32,
        now: Tick,
    ) -> Option<Answer<'a>> {
        let conversions = address.shard.conversions.load(Ordering::Acquire);
        let mut before = place.word.load(Ordering::Acquire);
        loop {
            if before == LOCKED || place.mark.load(Ordering::Relaxed) != address.mark {
                return None;
            }
            let taken = match term.gcra.take(before, now, cost) {
                Ok(taken) if taken.word == before => return Some(Ok((taken.outcome, None))),
                Ok(taken) => taken,
                Err(refused) => return Some(Err(refused)),
            };
            let after = taken.word;
            match place
                .word
                .compare_exchange(before, after, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) if place.mark.load(Ordering::Relaxed) == address.mark => {
                    let receipt = address.receipt(place, before, after, conversions);
                    return Some(Ok((taken.outcome, Some(receipt))));
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
        let free = address.places().find_map(|place| {
            let before = place.free_up(address.mark, now)?;
            place.word.store(after, Ordering::Release);
            Some(address.receipt(place, before.max(beginning), after, conversions))
        });
        Some(match free {
            Some(receipt) => Ok((taken.outcome, Some(receipt))),
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

    fn address(&self, charge: &Charge, term: &Term) -> Address<'_> {
        let id = charge.bucket().as_u128();
        let (high, low) = ((id >> 64) as u64, id as u64);
        // Half of a digest would do for each, as it is; ids that were numbered by hand would not.
        let spread = (high ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15);
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

impl Shard {
    fn new(lines: usize) -> Self {
        let words = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            lines: (0..lines).map(|_| Line::new()).collect(),
            shared: words((lines * PLACES).div_ceil(16)),
            conversions: AtomicU64::new(0),
            newcomers: Mutex::new(Tick::ZERO),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tick> {
        self.newcomers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn new() -> Self {
        Self {
            marks: std::array::from_fn(|_| AtomicU64::new(NOBODY)),
            words: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl<'a> Address<'a> {
    /// The places that the bucket may have, the nearest first.
    fn places(&self) -> impl Iterator<Item = Place<'a>> + use<'a> {
        let lines = &self.shard.lines;
        let (wrapped, from_home) = lines.split_at(self.home);
        from_home
            .iter()
            .chain(wrapped)
            .take(REACH)
            .flat_map(|line| {
                line.marks
                    .iter()
                    .zip(&line.words)
                    .map(|(mark, word)| Place { mark, word })
            })
    }

    fn find(&self) -> Option<Place<'a>> {
        for place in self.places() {
            match place.mark.load(Ordering::Acquire) {
                mark if self.is_at(mark) => return Some(place),
                NOBODY => return None,
                _ => {}
            }
        }
        None
    }

    /// Whether it is this bucket's place, under whatever quota.
    const fn is_at(&self, mark: u64) -> bool {
        (mark ^ self.mark) & TAG == 0
    }

    /// `conversions` is what was read before the word.
    fn receipt(&self, place: Place<'a>, before: u64, after: u64, conversions: u64) -> Receipt<'a> {
        Receipt {
            word: place.word,
            before,
            after,
            tenancy: Some(Tenancy {
                shard: self.shard,
                mark: place.mark,
                tenant: self.mark,
                conversions,
            }),
        }
    }

    /// The state of a bucket without a place: full, or with the debt of those who had to share.
    fn beginning(&self, now: Tick) -> u64 {
        let shared = self.shared.load(Ordering::Acquire);
        if shared > now.as_nanos() { shared } else { 0 }
    }
}

impl Place<'_> {
    /// Makes the place the one with this mark if it is free, with the lowest word that it may then have. Until a
    /// word is stored nobody charges it. The shard's lock is held.
    fn free_up(self, mark: u64, now: Tick) -> Option<u64> {
        // The lock orders the marks for all who hold it.
        if self.mark.load(Ordering::Relaxed) == NOBODY {
            self.word.store(LOCKED, Ordering::Relaxed);
            self.mark.store(mark, Ordering::Release);
            return Some(0);
        }
        let last = self.word.load(Ordering::Acquire);
        if last >= now.as_nanos() {
            return None;
        }
        self.word
            .compare_exchange(last, LOCKED, Ordering::AcqRel, Ordering::Relaxed)
            .ok()?;
        self.mark.store(mark, Ordering::Release);
        Some(last + 1)
    }
}

/// The number of the quota that a place is under.
const fn number(mark: u64) -> u16 {
    (mark & !TAG) as u16
}

/// Spreads a random number evenly over `0..len`.
fn scaled(random: u32, len: usize) -> usize {
    ((u64::from(random) * len as u64) >> 32) as usize
}
