use std::time::Duration;

use http::Extensions;
use pm_core::{Clock, Tick};

/// The moment after which nobody waits for the answer any more; see the
/// [module documentation](super).
///
/// It is found in the request's extensions and by [`Deadline::current`]. Means nothing to another
/// process, like the [`Tick`] it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Tick);

impl Deadline {
    /// At this moment.
    #[must_use]
    pub const fn at(moment: Tick) -> Self {
        Self(moment)
    }

    /// So long from now.
    #[must_use]
    pub fn after(time: Duration, clock: &Clock) -> Self {
        Self(clock.now() + time)
    }

    /// The one that a request is under: that of its extensions or of the task, whichever is first.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        match (extensions.get::<Self>().copied(), Self::current()) {
            (Some(own), Some(current)) => Some(own.min(current)),
            (own, current) => own.or(current),
        }
    }

    /// The moment.
    #[must_use]
    pub const fn moment(&self) -> Tick {
        self.0
    }

    /// What is left of it: zero if it has passed.
    #[must_use]
    pub const fn remaining(&self, now: Tick) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Whether there is nothing left.
    #[must_use]
    pub fn has_passed(&self, now: Tick) -> bool {
        self.0 <= now
    }
}
