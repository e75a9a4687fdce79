//! The places where buckets are kept, and who may have one.
//!
//! A place is a tag (half of the bucket's id; the other half says where to look) and a word (the
//! bucket's state). Its protocol, all of it with the atomics of safe Rust:
//!
//! * A tag is written under the lock of its shard, and never becomes 0 again. So a search ends at
//!   the first tag 0, and the same bucket is never in two places.
//! * A charge needs no lock: it reads the word, *then* checks the tag, and swaps the word against
//!   the one it read. The word that was read belongs to the tag, or the place has changed hands
//!   since, and then the swap fails or is noticed behind it.
//! * A place changes hands only when its bucket is full again, by swapping the very word that shows
//!   it against [`LOCKED`]: a charge that is faster keeps the place, one that is slower sees the
//!   lock.
//! * The words of a place never repeat an earlier tenant's: the next one starts above them. So
//!   what is put back cannot hit a stranger.
//! * A newcomer starts no earlier than the latest moment that its shard has given up a bucket at:
//!   it may be that bucket, charged with a reading of the clock from before it was full again.

use std::sync::PoisonError;
use std::sync::atomic::AtomicU64 as Counter;

use pm_core::Tick;

use crate::algorithm::Gcra;
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::{BucketId, Outcome};

/// The word of a place that changes hands. No bucket gets there: it is 584 years away.
const LOCKED: u64 = u64::MAX;

/// The tag of a place that nobody has had yet.
const NOBODY: u64 = 0;

/// Places in one line: four tags and four words are one line of cache.
const PLACES: usize = if cfg!(pm_loom) { 1 } else { 4 };

/// How many lines a bucket may be in, from its own one on. With half of all places in use, fewer
/// than one bucket in a million finds none in sixteen.
const REACH: usize = 16;

/// More shards than this gain nothing: the lock of one is held for a fraction of a microsecond.
const MAX_SHARDS: usize = 64;

pub(super) struct Table {
    shards: Box<[Shard]>,
    strayed: Counter,
    overflowed: Counter,
}

struct Shard {
    lines: Box<[Line]>,
    /// The shared buckets of those who find no place.
    shared: Box<[AtomicU64]>,
    /// Held by whoever brings in a new bucket: the latest moment at which one came.
    newcomers: Mutex<Tick>,
}

#[repr(align(64))]
struct Line {
    tags: [AtomicU64; PLACES],
    words: [AtomicU64; PLACES],
}

/// Where one bucket is to be found.
struct Address<'a> {
    shard: &'a Shard,
    home: usize,
    tag: u64,
    shared: &'a AtomicU64,
}

#[derive(Clone, Copy)]
struct Place<'a> {
    tag: &'a AtomicU64,
    word: &'a AtomicU64,
}

/// A charge that was taken, and how to put it back.
pub(super) struct Receipt<'a> {
    word: &'a AtomicU64,
    before: u64,
    after: u64,
}

impl Receipt<'_> {
    /// Whether the bucket is as it was before the charge; if it has changed since, it stays.
    pub(super) fn put_back(self) -> bool {
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

    /// The state of a bucket, which is that of a new one if it has no place.
    pub(super) fn read(&self, bucket: BucketId, now: Tick) -> u64 {
        let address = self.address(bucket);
        if let Some(place) = address.find() {
            let word = place.word.load(Ordering::Acquire);
            if word != LOCKED && place.tag.load(Ordering::Relaxed) == address.tag {
                return word;
            }
        }
        let beginning = address.beginning(now);
        if beginning > 0 {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
        }
        beginning
    }

    /// Takes `cost` tokens from a bucket, giving it a place if it has none.
    pub(super) fn take(&self, bucket: BucketId, gcra: &Gcra, cost: u32, now: Tick) -> Answer<'_> {
        let address = self.address(bucket);
        loop {
            if let Some(taken) = address
                .find()
                .and_then(|place| self.charge(place, address.tag, gcra, cost, now))
            {
                return taken;
            }
            if let Some(taken) = self.bring_in(&address, gcra, cost, now) {
                return taken;
            }
        }
    }

    /// Charges the bucket at `place`; `None` if it is no longer there.
    fn charge<'a>(
        &self,
        place: Place<'a>,
        tag: u64,
        gcra: &Gcra,
        cost: u32,
        now: Tick,
    ) -> Option<Answer<'a>> {
        let mut before = place.word.load(Ordering::Acquire);
        loop {
            if before == LOCKED || place.tag.load(Ordering::Relaxed) != tag {
                return None;
            }
            let taken = match gcra.take(before, now, cost) {
                Ok(taken) if taken.word == before => return Some(Ok((taken.outcome, None))),
                Ok(taken) => taken,
                Err(refused) => return Some(Err(refused)),
            };
            let after = taken.word;
            match place
                .word
                .compare_exchange(before, after, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) if place.tag.load(Ordering::Relaxed) == tag => {
                    let receipt = Receipt {
                        word: place.word,
                        before,
                        after,
                    };
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

    /// Gives a bucket a place and charges it in the same breath; `None` if it has one by now.
    fn bring_in<'a>(
        &self,
        address: &Address<'a>,
        gcra: &Gcra,
        cost: u32,
        now: Tick,
    ) -> Option<Answer<'a>> {
        let newcomers = &address.shard.newcomers;
        let mut latest = newcomers.lock().unwrap_or_else(PoisonError::into_inner);
        if address.find().is_some() {
            return None;
        }
        let now = now.max(*latest);
        *latest = now;
        let beginning = address.beginning(now);
        let taken = match gcra.take(beginning, now, cost) {
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
        let free = address.places().find_map(|place| {
            let before = place.free_up(address.tag, now)?;
            place.word.store(after, Ordering::Release);
            Some(Receipt {
                word: place.word,
                before: before.max(beginning),
                after,
            })
        });
        Some(match free {
            Some(receipt) => Ok((taken.outcome, Some(receipt))),
            None => self.share(address, gcra, cost, now),
        })
    }

    /// Charges the shared bucket. The shard's lock is held, so that nobody gets a place meanwhile
    /// without seeing the charge.
    fn share<'a>(&self, address: &Address<'a>, gcra: &Gcra, cost: u32, now: Tick) -> Answer<'a> {
        if self.overflowed.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!(
                places = self.places(),
                "the rate limit store is full of limited subjects, new ones share buckets from \
                 here on: make room for more"
            );
        }
        let word = address.shared;
        let mut before = word.load(Ordering::Acquire);
        loop {
            let taken = gcra.take(before, now, cost)?;
            let after = taken.word;
            match word.compare_exchange(before, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    return Ok((
                        taken.outcome,
                        Some(Receipt {
                            word,
                            before,
                            after,
                        }),
                    ));
                }
                Err(changed) => before = changed,
            }
        }
    }

    fn address(&self, bucket: BucketId) -> Address<'_> {
        let id = bucket.as_u128();
        let (high, low) = ((id >> 64) as u64, id as u64);
        // Half of a digest would do for each, as it is; ids that were numbered by hand would not.
        let spread = (high ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let tag = low ^ high.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let shard = &self.shards[scaled((spread >> 32) as u32, self.shards.len())];
        Address {
            shard,
            home: scaled((spread >> 16) as u32, shard.lines.len()),
            tag: tag.max(NOBODY + 1),
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
            newcomers: Mutex::new(Tick::ZERO),
        }
    }
}

impl Line {
    fn new() -> Self {
        Self {
            tags: std::array::from_fn(|_| AtomicU64::new(NOBODY)),
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
                line.tags
                    .iter()
                    .zip(&line.words)
                    .map(|(tag, word)| Place { tag, word })
            })
    }

    fn find(&self) -> Option<Place<'a>> {
        for place in self.places() {
            match place.tag.load(Ordering::Acquire) {
                tag if tag == self.tag => return Some(place),
                NOBODY => return None,
                _ => {}
            }
        }
        None
    }

    /// The state of a bucket without a place: full, or with the debt of those who had to share.
    fn beginning(&self, now: Tick) -> u64 {
        let shared = self.shared.load(Ordering::Acquire);
        if shared > now.as_nanos() { shared } else { 0 }
    }
}

impl Place<'_> {
    /// Makes the place `tag`'s if it is free, with the lowest word that it may then have. Until a
    /// word is stored nobody charges it. The shard's lock is held.
    fn free_up(self, tag: u64, now: Tick) -> Option<u64> {
        // The lock orders the tags for all who hold it.
        if self.tag.load(Ordering::Relaxed) == NOBODY {
            self.word.store(LOCKED, Ordering::Relaxed);
            self.tag.store(tag, Ordering::Release);
            return Some(0);
        }
        let last = self.word.load(Ordering::Acquire);
        if last >= now.as_nanos() {
            return None;
        }
        self.word
            .compare_exchange(last, LOCKED, Ordering::AcqRel, Ordering::Relaxed)
            .ok()?;
        self.tag.store(tag, Ordering::Release);
        Some(last + 1)
    }
}

/// Spreads a random number evenly over `0..len`.
fn scaled(random: u32, len: usize) -> usize {
    ((u64::from(random) * len as u64) >> 32) as usize
}
