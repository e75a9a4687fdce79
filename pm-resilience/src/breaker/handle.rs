use std::fmt;
use std::sync::Arc;

use pm_core::Clock;
use pm_core::reload::InvalidSetting;

use super::circuit::Circuit;
use super::{BreakerSettings, BreakerStats, Changes, Permit, State};
use crate::telemetry::BreakerMetrics;
use crate::{Rejection, Timeout};

/// A circuit breaker: a handle that is cheap to clone, all clones of which are the same breaker.
///
/// Calls ask it for a [`Permit`] and settle that with what their result says. While it is closed and
/// watches failures in a row only, a call that succeeds is two loads of a word that nobody writes:
/// it takes no lock, reads no clock and allocates nothing.
///
/// ```
/// use pm_core::Clock;
/// use pm_resilience::Outcome;
/// use pm_resilience::breaker::{Breaker, BreakerSettings, State};
/// # use std::time::Duration;
///
/// let (clock, time) = Clock::manual();
/// let breaker = Breaker::new("postgres", BreakerSettings::new())?.with_clock(clock);
/// for _ in 0..5 {
///     breaker.try_acquire().expect("closed").settle(Outcome::Failure);
/// }
/// let rejection = breaker.try_acquire().expect_err("open");
/// assert_eq!(rejection.retry_after(), Some(Duration::from_secs(30)));
///
/// time.advance(Duration::from_secs(30));
/// breaker.try_acquire().expect("one probe").settle(Outcome::Success);
/// assert_eq!(breaker.state(), State::Closed);
/// # Ok::<(), pm_core::reload::InvalidSetting>(())
/// ```
#[derive(Clone)]
pub struct Breaker(Arc<Circuit>);

impl Breaker {
    /// A closed breaker, on the system clock. The name is for rejections, logs and metrics.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names the field.
    pub fn new(
        name: impl Into<Arc<str>>,
        settings: BreakerSettings,
    ) -> Result<Self, InvalidSetting> {
        settings.check()?;
        let name = name.into();
        let metrics = Arc::new(BreakerMetrics::new(&name));
        let circuit = Circuit::new(name, None, settings, Clock::system(), metrics);
        Ok(Self(Arc::new(circuit)))
    }

    /// A new breaker of the same name and settings on this clock. It shares nothing with this one.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self(Arc::new(self.0.on(clock)))
    }

    /// A new breaker of the same name, settings and clock, that the log tells apart from others of that
    /// name by this key. In metrics they are one: a key may be one of many. It shares nothing with this
    /// one.
    #[must_use]
    pub fn with_key(self, key: impl Into<Box<str>>) -> Self {
        Self(Arc::new(self.0.called(key.into())))
    }

    /// A new breaker like this one, whose probes have the longest of these times, as they are then,
    /// unless its settings say how long.
    pub(crate) fn leasing(self, timeout: Timeout) -> Self {
        Self(Arc::new(self.0.leasing(timeout)))
    }

    /// One of many of that name, of settings that were checked.
    pub(super) fn keyed(
        name: Arc<str>,
        key: Box<str>,
        settings: BreakerSettings,
        clock: Clock,
        metrics: Arc<BreakerMetrics>,
    ) -> Self {
        Self(Arc::new(Circuit::new(
            name,
            Some(key),
            settings,
            clock,
            metrics,
        )))
    }

    /// Leave to make one call.
    ///
    /// Never waits. A breaker that is open becomes half open when its time is over and somebody asks:
    /// that call is the first probe.
    ///
    /// # Errors
    ///
    /// If it is open, or half open with all of its probes under way. The rejection says how long to
    /// wait: until it will be half open, or until the lease of the last probe ends, unless that
    /// answers before. One that was forced open does not know.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit<&Self>, Rejection> {
        Permit::try_acquire(self)
    }

    /// The same with a handle of its own, for a future that outlives this one.
    ///
    /// # Errors
    ///
    /// As those of [`try_acquire`](Self::try_acquire).
    #[inline]
    pub fn try_acquire_owned(&self) -> Result<Permit, Rejection> {
        Permit::try_acquire(self.clone())
    }

    /// Where it stands. One that is [open](State::Open) may let the next call in, as a probe.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.word().state()
    }

    /// The name that it has in rejections, logs and metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The settings that are in force.
    #[must_use]
    pub fn settings(&self) -> BreakerSettings {
        self.0.settings()
    }

    /// What it has counted.
    #[must_use]
    pub fn stats(&self) -> BreakerStats {
        self.0.stats()
    }

    /// Follows the state from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes::new(self.clone())
    }

    /// Rejects every call until it is [released](Self::release), or forced closed. A probe that
    /// succeeds at this moment does not close it. The reason is for the log.
    pub fn force_open(&self, reason: &str) {
        self.0.force(State::ForcedOpen, Some(reason.to_owned()));
    }

    /// Lets every call through, whatever comes of it, until it is [released](Self::release), or
    /// forced open. The reason is for the log.
    pub fn force_close(&self, reason: &str) {
        self.0.force(State::ForcedClosed, Some(reason.to_owned()));
    }

    /// Takes back what was forced: it is closed, has counted nothing yet, and goes on by itself.
    /// Nothing, if it was not forced. To close one that has opened by itself, force it closed before.
    pub fn release(&self) {
        self.0.release();
    }

    /// Replaces the settings. Where it stands stays, and until when; so do failures in a row. What
    /// the window holds stays if the window is the same, and is forgotten otherwise. A change from or
    /// to [`Disabled`](super::Mode::Disabled) is a transition.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names the field, and nothing is changed.
    pub fn reload(&self, settings: BreakerSettings) -> Result<(), InvalidSetting> {
        self.0.reload(settings)
    }

    #[inline]
    pub(super) fn circuit(&self) -> &Circuit {
        &self.0
    }

    /// Whether there is another handle, or a permit that has one.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("name", &self.name())
            .field("state", &self.state())
            .field("settings", &self.settings())
            .finish_non_exhaustive()
    }
}
