use std::time::Duration;

use pm_core::Tick;

/// What a breaker has to know of a call that it let in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    /// The generation, and above it two bits: two whole registers cost half of what a byte beside them
    /// does.
    admitted: u64,
    /// The last moment there is, if nobody has looked.
    started: Tick,
}

const CURTAILED: u64 = 1 << 63;
const OPTIONAL: u64 = 1 << 62;

/// No word has it: generations have 40 bits.
const UNWATCHED: u64 = OPTIONAL - 1;

impl Pass {
    #[inline]
    pub(super) const fn new(generation: u64, started: Option<Tick>) -> Self {
        Self {
            admitted: generation,
            started: match started {
                Some(started) => started,
                None => Tick::MAX,
            },
        }
    }

    /// Of a call that nothing depends on.
    #[inline]
    pub(super) const fn unwatched() -> Self {
        Self::new(UNWATCHED, None)
    }

    /// Leaves one behind that nothing depends on any more.
    #[inline]
    pub(super) const fn take(&mut self) -> Self {
        std::mem::replace(self, Self::unwatched())
    }

    #[inline]
    pub(super) const fn is_watched(&self) -> bool {
        self.generation() != UNWATCHED
    }

    /// The generation that it was admitted in: its result matters in no other.
    #[inline]
    pub(super) const fn generation(&self) -> u64 {
        self.admitted & !(CURTAILED | OPTIONAL)
    }

    /// When it began, if that was looked at.
    #[inline]
    pub(super) fn started(&self) -> Option<Tick> {
        (self.started != Tick::MAX).then_some(self.started)
    }

    #[inline]
    pub(super) fn start(&mut self, now: impl FnOnce() -> Tick) {
        if self.started == Tick::MAX && self.is_watched() {
            self.started = now();
        }
    }

    /// Whether it has less time than calls have.
    #[inline]
    pub(super) const fn is_curtailed(&self) -> bool {
        self.admitted & CURTAILED != 0
    }

    #[inline]
    pub(super) const fn curtail(&mut self) {
        self.admitted |= CURTAILED;
    }

    /// Whether its end may be left out: that it is dropped says nothing then.
    #[inline]
    pub(super) const fn is_optional(&self) -> bool {
        self.admitted & OPTIONAL != 0
    }

    #[inline]
    pub(super) const fn make_optional(&mut self) {
        self.admitted |= OPTIONAL;
    }

    /// Whether it has taken that long, as far as is known.
    #[inline]
    pub(super) fn is_slow(&self, after: Option<Duration>, now: Tick) -> bool {
        let took = |since| now.saturating_duration_since(since);
        let known = self.started().zip(after);
        known.is_some_and(|(since, after)| took(since) >= after)
    }
}
