//! What the calls of a window came to. Fixed memory, and a constant cost that traffic does not change.

mod ring;
mod slices;

use pm_core::Tick;

use self::ring::Ring;
use self::slices::Slices;
use super::Window;

/// The calls of a window.
///
/// Every entry carries the generation that its call was admitted in, and finds no place in the
/// window of a later one.
pub(super) enum History {
    Calls(Ring),
    Time(Slices),
}

/// What one call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) failed: bool,
    pub(super) slow: bool,
}

/// What all of them came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) calls: u32,
    pub(super) failed: u32,
    pub(super) slow: u32,
}

impl History {
    pub(super) fn new(window: Window, generation: u64) -> Self {
        match window {
            Window::Calls(calls) => Self::Calls(Ring::new(calls, generation)),
            Window::Time { length, slices } => Self::Time(Slices::new(length, slices)),
        }
    }

    /// Whether entries need the time.
    pub(super) const fn is_timed(&self) -> bool {
        matches!(self, Self::Time(_))
    }

    pub(super) fn record(&self, generation: u64, now: Tick, entry: Entry) {
        match self {
            Self::Calls(ring) => ring.record(generation, entry),
            Self::Time(slices) => slices.record(generation, now, entry),
        }
    }

    pub(super) fn sum(&self, generation: u64, now: Tick) -> Sum {
        match self {
            Self::Calls(ring) => ring.sum(generation),
            Self::Time(slices) => slices.sum(generation, now),
        }
    }

    /// Begins empty for a new generation. Called before any of its calls is admitted, by one thread
    /// at a time.
    pub(super) fn restart(&self, generation: u64) {
        match self {
            Self::Calls(ring) => ring.restart(generation),
            // The generation is part of where an entry stands.
            Self::Time(_) => {}
        }
    }
}
