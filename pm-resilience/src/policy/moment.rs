use std::cell::Cell;

use pm_core::{Clock, Tick};

/// A moment that several want to know the time of: the clock is read for the first of them, and for
/// nobody if nobody asks.
pub(super) struct Moment<'c> {
    clock: &'c Clock,
    tick: Cell<Option<Tick>>,
}

impl<'c> Moment<'c> {
    pub(super) const fn of(clock: &'c Clock) -> Self {
        Self {
            clock,
            tick: Cell::new(None),
        }
    }

    #[inline]
    pub(super) fn now(&self) -> Tick {
        self.tick.get().unwrap_or_else(|| {
            let now = self.clock.now();
            self.tick.set(Some(now));
            now
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn all_who_ask_are_told_what_the_first_was() {
        let (clock, time) = Clock::manual();
        let moment = Moment::of(&clock);
        time.advance(Duration::from_secs(1));
        let first = moment.now();
        time.advance(Duration::from_secs(1));
        assert_eq!(first, Tick::ZERO + Duration::from_secs(1));
        assert_eq!(moment.now(), first);
    }
}
