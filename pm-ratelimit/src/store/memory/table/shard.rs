use std::sync::PoisonError;

use pm_core::Tick;

use crate::store::memory::terms;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// The word of a place that changes hands. No bucket gets there: it is 584 years away.
pub(super) const LOCKED: u64 = u64::MAX;

/// The mark of a place that nobody has had yet.
pub(super) const NOBODY: u64 = 0;

/// The part of a mark that says whose bucket it is.
pub(super) const TAG: u64 = u64::MAX << terms::BITS;

/// Places in one line: four marks and four words are one line of cache.
pub(super) const PLACES: usize = if cfg!(pm_loom) { 1 } else { 4 };

/// A part of the table with a lock of its own.
pub(super) struct Shard {
    pub(super) lines: Box<[Line]>,
    /// The shared buckets of those who find no place.
    pub(super) shared: Box<[AtomicU64]>,
    /// How often a bucket has been converted to another quota.
    pub(super) conversions: AtomicU64,
    /// Held by whoever brings in a new bucket: the latest moment at which one came.
    newcomers: Mutex<Tick>,
}

#[repr(align(64))]
pub(super) struct Line {
    pub(super) marks: [AtomicU64; PLACES],
    pub(super) words: [AtomicU64; PLACES],
}

/// Where one bucket is kept.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) mark: &'a AtomicU64,
    pub(super) word: &'a AtomicU64,
}

impl Shard {
    pub(super) fn new(lines: usize) -> Self {
        let words = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            lines: (0..lines).map(|_| Line::new()).collect(),
            shared: words((lines * PLACES).div_ceil(16)),
            conversions: AtomicU64::new(0),
            newcomers: Mutex::new(Tick::ZERO),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Tick> {
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

impl Place<'_> {
    /// Makes the place the one with this mark if it is free, with the lowest word that it may then have. Until a
    /// word is stored nobody charges it. The shard's lock is held.
    pub(super) fn free_up(self, mark: u64, now: Tick) -> Option<u64> {
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
