use std::time::Duration;

use pm_core::reload::InvalidSetting;

use super::Window;

/// When a [`Breaker`](super::Breaker) opens, for how long, and how it finds out that it may close.
///
/// Plain data, checked as a whole where a breaker is made or reloaded. By default five failures in a
/// row open it for 30 seconds, and one probe decides.
///
/// ```
/// use std::time::Duration;
/// use pm_resilience::breaker::{Breaker, BreakerSettings, Window};
///
/// // Five in a row, or half of what was called in the last ten seconds, or half of it too slow.
/// let settings = BreakerSettings::new()
///     .with_failure_rate(0.5)
///     .with_slow_calls(0.5, Duration::from_millis(500))
///     .with_window(Window::time(Duration::from_secs(10)))
///     .with_minimum_calls(20);
/// let breaker = Breaker::new("postgres", settings)?;
/// # Ok::<(), pm_core::reload::InvalidSetting>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct BreakerSettings {
    /// Whether it acts.
    pub mode: Mode,
    /// So many failures in a row open it; 0: their number does not matter.
    pub consecutive_failures: u16,
    /// This share of the window, above 0 and at most 1, opens it if it failed.
    pub failure_rate: Option<f64>,
    /// This share of the window opens it if it was slow.
    pub slow_calls: Option<SlowCalls>,
    /// What both rates are taken over.
    pub window: Window,
    /// Rates say nothing before the window holds so many calls.
    pub minimum_calls: u32,
    /// How long it stays open.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub open_for: Duration,
    /// How many times longer it stays open each time that a probe fails; 1: no longer.
    pub open_growth: f64,
    /// What growth leads to at most.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub open_at_most: Duration,
    /// It stays open for up to this share less, at random, so that many that opened together do not
    /// probe together; from 0 to 1.
    pub open_jitter: f64,
    /// How many calls are let in while it is half open: so many at the same time, and so many have to
    /// succeed before it closes. From 1 to 255. The first that fails opens it again.
    pub probes: u8,
    /// How long a probe may take before another one is let in instead; without it 10 seconds, or the
    /// time-out of the attempt, in a policy that has one.
    #[cfg_attr(
        feature = "serde",
        serde(with = "lease", skip_serializing_if = "Option::is_none")
    )]
    pub probe_lease: Option<Duration>,
}

/// Which calls are slow, and how many of them are too many.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(deny_unknown_fields)
)]
#[non_exhaustive]
pub struct SlowCalls {
    /// The share of the window, above 0 and at most 1.
    pub rate: f64,
    /// A call that took so long, or longer, was slow.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub after: Duration,
}

/// Whether a breaker acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
pub enum Mode {
    /// It opens, and rejects calls while it is open.
    #[default]
    Normal,
    /// It opens and closes, logs and counts, and rejects nothing: to try settings out.
    ObserveOnly,
    /// It lets everything through and looks at nothing.
    Disabled,
}

/// No duration of a setting is longer.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            mode: Mode::Normal,
            consecutive_failures: 5,
            failure_rate: None,
            slow_calls: None,
            window: Window::Calls(100),
            minimum_calls: 20,
            open_for: Duration::from_secs(30),
            open_growth: 1.0,
            open_at_most: Duration::from_secs(600),
            open_jitter: 0.0,
            probes: 1,
            probe_lease: None,
        }
    }
}

impl BreakerSettings {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens after so many failures in a row; 0: never because of that.
    #[must_use]
    pub fn with_consecutive_failures(mut self, failures: u16) -> Self {
        self.consecutive_failures = failures;
        self
    }

    /// Opens when this share of the window has failed.
    #[must_use]
    pub fn with_failure_rate(mut self, rate: f64) -> Self {
        self.failure_rate = Some(rate);
        self
    }

    /// Opens when this share of the window took `after` or longer.
    #[must_use]
    pub fn with_slow_calls(mut self, rate: f64, after: Duration) -> Self {
        self.slow_calls = Some(SlowCalls { rate, after });
        self
    }

    /// Takes rates over this window.
    #[must_use]
    pub fn with_window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }

    /// Lets rates speak once the window holds so many calls.
    #[must_use]
    pub fn with_minimum_calls(mut self, calls: u32) -> Self {
        self.minimum_calls = calls;
        self
    }

    /// Stays open for so long.
    #[must_use]
    pub fn with_open_for(mut self, open_for: Duration) -> Self {
        self.open_for = open_for;
        self
    }

    /// Stays open `growth` times longer each time that a probe fails, up to `at_most`.
    #[must_use]
    pub fn with_growth(mut self, growth: f64, at_most: Duration) -> Self {
        self.open_growth = growth;
        self.open_at_most = at_most;
        self
    }

    /// Stays open for up to this share less, at random.
    #[must_use]
    pub fn with_jitter(mut self, jitter: f64) -> Self {
        self.open_jitter = jitter;
        self
    }

    /// Lets so many probes in, all of which have to succeed.
    #[must_use]
    pub fn with_probes(mut self, probes: u8) -> Self {
        self.probes = probes;
        self
    }

    /// Replaces a probe that takes longer.
    #[must_use]
    pub fn with_probe_lease(mut self, lease: Duration) -> Self {
        self.probe_lease = Some(lease);
        self
    }

    /// Acts, only watches, or does neither.
    #[must_use]
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Whether a breaker can be made of them.
    ///
    /// # Errors
    ///
    /// The first field that cannot be, and what it should be.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let invalid = |field, reason: &'static str| Err(InvalidSetting::new(field, reason));
        let share = |rate: f64| rate > 0.0 && rate <= 1.0;
        let time = |time: Duration| !time.is_zero() && time <= LONGEST;
        if self.failure_rate.is_some_and(|rate| !share(rate)) {
            return invalid("failure_rate", "above 0 and at most 1");
        }
        if let Some(slow) = self.slow_calls {
            if !share(slow.rate) {
                return invalid("slow_calls.rate", "above 0 and at most 1");
            }
            if !time(slow.after) {
                return invalid("slow_calls.after", "above 0 and at most a day");
            }
        }
        self.window.check()?;
        match self.window {
            _ if self.minimum_calls == 0 => return invalid("minimum_calls", "at least 1"),
            Window::Calls(calls) if self.has_rates() && self.minimum_calls > calls => {
                return invalid("minimum_calls", "at most as many as the window holds");
            }
            Window::Calls(_) | Window::Time { .. } => {}
        }
        if self.mode != Mode::Disabled && self.consecutive_failures == 0 && !self.has_rates() {
            return invalid(
                "consecutive_failures",
                "nothing would open the breaker: set it, `failure_rate` or `slow_calls`, or disable it",
            );
        }
        if !time(self.open_for) {
            return invalid("open_for", "above 0 and at most a day");
        }
        if !(1.0..=100.0).contains(&self.open_growth) {
            return invalid("open_growth", "from 1 to 100");
        }
        if !time(self.open_at_most) || (self.open_growth > 1.0 && self.open_at_most < self.open_for)
        {
            return invalid("open_at_most", "at least `open_for` and at most a day");
        }
        if !(0.0..=1.0).contains(&self.open_jitter) {
            return invalid("open_jitter", "from 0 to 1");
        }
        if self.probes == 0 {
            return invalid("probes", "at least 1");
        }
        if self.probe_lease.is_some_and(|lease| !time(lease)) {
            return invalid("probe_lease", "above 0 and at most a day");
        }
        Ok(())
    }

    pub(super) const fn has_rates(&self) -> bool {
        self.failure_rate.is_some() || self.slow_calls.is_some()
    }

    /// How long it stays open when it has opened so many times without having closed, from 1 on.
    /// `random` is from 0 to 1.
    pub(super) fn open_time(&self, opened: u32, random: f64) -> Duration {
        let again = i32::try_from(opened.saturating_sub(1)).unwrap_or(i32::MAX);
        let factor = self.open_growth.powi(again);
        let at_most = self.open_at_most.max(self.open_for);
        let grown = (self.open_for.as_secs_f64() * factor).min(at_most.as_secs_f64());
        if factor > 1.0 || self.open_jitter > 0.0 {
            return Duration::from_secs_f64(grown * (1.0 - self.open_jitter * random));
        }
        self.open_for
    }
}

#[cfg(feature = "serde")]
mod lease {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    use pm_core::duration;

    pub(super) fn serialize<S: Serializer>(
        lease: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match lease {
            Some(lease) => duration::serialize(lease, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        duration::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn refused(settings: &BreakerSettings) -> String {
        settings.check().expect_err("not valid").field().to_owned()
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_field() {
        let new = BreakerSettings::new;
        for (field, settings) in [
            ("failure_rate", new().with_failure_rate(0.0)),
            ("failure_rate", new().with_failure_rate(1.01)),
            ("failure_rate", new().with_failure_rate(f64::NAN)),
            ("slow_calls.rate", new().with_slow_calls(-0.5, SECOND)),
            (
                "slow_calls.after",
                new().with_slow_calls(0.5, Duration::ZERO),
            ),
            ("window", new().with_window(Window::calls(0))),
            ("window", new().with_window(Window::calls(8_193))),
            (
                "window",
                new().with_window(Window::time(Duration::from_millis(9))),
            ),
            (
                "window",
                new().with_window(Window::time(SECOND).with_slices(1)),
            ),
            ("window", new().with_window(Window::time(2 * LONGEST))),
            ("minimum_calls", new().with_minimum_calls(0)),
            (
                "minimum_calls",
                new().with_failure_rate(0.5).with_minimum_calls(101),
            ),
            ("consecutive_failures", new().with_consecutive_failures(0)),
            ("open_for", new().with_open_for(Duration::ZERO)),
            ("open_growth", new().with_growth(0.5, LONGEST)),
            ("open_at_most", new().with_growth(2.0, SECOND)),
            ("open_jitter", new().with_jitter(1.5)),
            ("probes", new().with_probes(0)),
            ("probe_lease", new().with_probe_lease(Duration::ZERO)),
        ] {
            assert_eq!(refused(&settings), field, "{settings:?}");
        }
        assert!(new().check().is_ok());
        let disabled = new().with_consecutive_failures(0).with_mode(Mode::Disabled);
        assert!(disabled.check().is_ok());
    }

    #[test]
    fn a_window_of_too_many_calls_names_the_one_that_holds_them() {
        let settings = BreakerSettings::new().with_window(Window::calls(8_193));
        let error = settings.check().expect_err("too large");
        assert!(error.reason().contains("Window::time"), "{error}");
        let largest = BreakerSettings::new().with_window(Window::calls(8_192));
        assert!(largest.check().is_ok());
    }

    #[test]
    fn open_time_grows_to_its_maximum_and_jitter_only_shortens_it() {
        let settings = BreakerSettings::new()
            .with_open_for(SECOND)
            .with_growth(2.0, 10 * SECOND)
            .with_jitter(0.25);
        let times = [1, 2, 3, 4, 5, 1_000, u32::MAX].map(|opened| settings.open_time(opened, 0.0));
        assert_eq!(times.map(|time| time.as_secs()), [1, 2, 4, 8, 10, 10, 10]);
        assert_eq!(settings.open_time(2, 1.0), Duration::from_millis(1_500));
        assert_eq!(BreakerSettings::new().open_time(9, 0.7), 30 * SECOND);
    }
}
