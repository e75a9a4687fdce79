use crate::sync::{AtomicU64, Ordering};

/// How many there are and how many there may be: two words that are looked at by everybody.
#[derive(Debug)]
pub(super) struct Slots {
    taken: AtomicU64,
    ceiling: AtomicU64,
}

impl Slots {
    pub(super) fn new(ceiling: u64) -> Self {
        Self {
            taken: AtomicU64::new(0),
            ceiling: AtomicU64::new(ceiling),
        }
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    pub(super) fn ceiling(&self) -> u64 {
        self.ceiling.load(Ordering::Acquire)
    }

    pub(super) fn set_ceiling(&self, ceiling: u64) {
        self.ceiling.store(ceiling, Ordering::Release);
    }

    /// Takes one, if fewer than `up_to` are taken. Returns how many are taken then.
    pub(super) fn take(&self, up_to: u64) -> Option<u64> {
        let taken = self
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                (taken < up_to).then_some(taken + 1)
            });
        taken.ok().map(|before| before + 1)
    }

    /// Gives one back that was taken.
    pub(super) fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}
