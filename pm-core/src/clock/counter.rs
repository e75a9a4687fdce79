use std::sync::OnceLock;

use super::Tick;

/// The processor's counter, and how to read ticks from it.
pub(super) struct Counter {
    clock: quanta::Clock,
    /// What the counter showed when it was first looked at.
    start: u64,
    /// The tick of the system's clock then, in nanoseconds.
    offset: u64,
}

impl Counter {
    /// One for all: to find out how fast the counter goes takes a while.
    pub(super) fn shared() -> &'static Self {
        static SHARED: OnceLock<Counter> = OnceLock::new();
        SHARED.get_or_init(|| {
            let clock = quanta::Clock::new();
            Self {
                start: clock.raw(),
                offset: super::system_now().as_nanos(),
                clock,
            }
        })
    }

    #[inline]
    pub(super) fn now(&self) -> Tick {
        let elapsed = self.clock.delta_as_nanos(self.start, self.clock.raw());
        Tick::from_nanos(self.offset.saturating_add(elapsed))
    }
}
