use crate::sync::{AtomicU64, Ordering};

use super::{Cause, State};

/// How a [`Breaker`](super::Breaker) stands, and what it has counted since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerStats {
    /// Where it stands.
    pub state: State,
    /// Why it opened last, if it ever did.
    pub opened_by: Option<Cause>,
    /// What it knows of the calls of now.
    pub counts: Counts,
    /// How often it went from one state to another, or replaced a lost probe.
    pub transitions: u64,
    /// Calls that it rejected.
    pub rejected: u64,
    /// Calls that it let through because it only observes.
    pub observed: u64,
    /// Results that came when it had changed since their calls were let in. They changed nothing.
    pub ignored: u64,
    /// Calls that ended without saying anything: cut off early, or about something else.
    pub inconclusive: u64,
}

/// The calls that a breaker decides by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Failures in a row, while it is closed.
    pub in_a_row: u16,
    /// Calls in the window, 0 if no rate is watched.
    pub calls: u32,
    /// Those that failed.
    pub failed: u32,
    /// Those that were slow.
    pub slow: u32,
}

/// The counters behind [`BreakerStats`]. All of them are of what is rare.
pub(super) struct Counters {
    pub(super) transitions: Counter,
    pub(super) rejected: Counter,
    pub(super) observed: Counter,
    pub(super) ignored: Counter,
    pub(super) inconclusive: Counter,
}

pub(super) struct Counter(AtomicU64);

impl Counters {
    pub(super) fn new() -> Self {
        let zero = || Counter(AtomicU64::new(0));
        Self {
            transitions: zero(),
            rejected: zero(),
            observed: zero(),
            ignored: zero(),
            inconclusive: zero(),
        }
    }
}

impl Counter {
    pub(super) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
