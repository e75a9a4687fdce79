use std::time::Duration;

use pm_core::Tick;

/// What a breaker has to know of a call that it let in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    generation: u64,
    started: Option<Tick>,
    curtailed: bool,
}

/// No word has it: generations have 40 bits.
const UNWATCHED: u64 = u64::MAX;

impl Pass {
    pub(super) const fn new(generation: u64, started: Option<Tick>) -> Self {
        Self {
            generation,
            started,
            curtailed: false,
        }
    }

    /// Of a call that nothing depends on.
    pub(super) const fn unwatched() -> Self {
        Self::new(UNWATCHED, None)
    }

    /// Leaves one behind that nothing depends on any more.
    pub(super) const fn take(&mut self) -> Self {
        std::mem::replace(self, Self::unwatched())
    }

    pub(super) const fn is_watched(&self) -> bool {
        self.generation != UNWATCHED
    }

    /// The generation that it was admitted in: its result matters in no other.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// When it began, if that was looked at.
    pub(super) const fn started(&self) -> Option<Tick> {
        self.started
    }

    pub(super) fn start(&mut self, now: impl FnOnce() -> Tick) {
        if self.started.is_none() && self.is_watched() {
            self.started = Some(now());
        }
    }

    /// Whether it has less time than calls have.
    pub(super) const fn is_curtailed(&self) -> bool {
        self.curtailed
    }

    pub(super) const fn curtail(&mut self) {
        self.curtailed = true;
    }

    /// Whether it has taken that long, as far as is known.
    pub(super) fn is_slow(&self, after: Option<Duration>, now: Tick) -> bool {
        let took = |since| now.saturating_duration_since(since);
        let known = self.started.zip(after);
        known.is_some_and(|(since, after)| took(since) >= after)
    }
}
