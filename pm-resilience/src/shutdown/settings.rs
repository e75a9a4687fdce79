use std::time::Duration;

use pm_core::reload::InvalidSetting;

/// How long those have who are dropped to be gone: each only has to be polled once more.
pub(super) const ABORT: Duration = Duration::from_millis(100);

/// How long each phase may take. Plain data; with the feature `serde`, times are
/// written like `250ms` or `5s`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct ShutdownSettings {
    /// All that there is, from the signal to the end: as long as whoever sent the signal waits
    /// before it kills. 30 s by default, as Kubernetes does.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub budget: Duration,
    /// How long it goes on serving, not ready any more, until load balancers have noticed. 5 s by
    /// default.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub delay: Duration,
    /// How long what is under way then has to finish. 15 s by default.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub drain: Duration,
    /// How long what is still under way then has to stop, once it is asked to. 3 s by default.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub cancel: Duration,
    /// How long all hooks have, together. 5 s by default.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub close: Duration,
    /// Within which time clients of sockets are told to come back, each at a moment of its own. No
    /// share of the budget: it passes elsewhere. 5 s by default.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub come_back_within: Duration,
}

impl ShutdownSettings {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with so much in all.
    #[must_use]
    pub const fn with_budget(mut self, time: Duration) -> Self {
        self.budget = time;
        self
    }

    /// The same, which serves for so long when it is not ready any more.
    #[must_use]
    pub const fn with_delay(mut self, time: Duration) -> Self {
        self.delay = time;
        self
    }

    /// The same, where what is under way has so long to finish.
    #[must_use]
    pub const fn with_drain(mut self, time: Duration) -> Self {
        self.drain = time;
        self
    }

    /// The same, where what is asked to stop has so long to do so.
    #[must_use]
    pub const fn with_cancel(mut self, time: Duration) -> Self {
        self.cancel = time;
        self
    }

    /// The same, where all hooks have so long together.
    #[must_use]
    pub const fn with_close(mut self, time: Duration) -> Self {
        self.close = time;
        self
    }

    /// The same, where clients of sockets are told to come back within this.
    #[must_use]
    pub const fn with_come_back_within(mut self, time: Duration) -> Self {
        self.come_back_within = time;
        self
    }

    /// How long it takes at most: all phases, and 100 ms for those who are dropped to be gone.
    #[must_use]
    pub fn longest(&self) -> Duration {
        [self.drain, self.cancel, ABORT, self.close]
            .into_iter()
            .fold(self.delay, Duration::saturating_add)
    }

    /// Whether all phases fit into the budget.
    ///
    /// # Errors
    ///
    /// The field is `budget`; the reason says what there would have to be.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let longest = self.longest();
        if longest > self.budget {
            let Self { budget, .. } = self;
            return Err(InvalidSetting::new(
                "budget",
                format!(
                    "delay, drain, cancel, 0.1 s to abort, and close are {longest:?} in all, more \
                     than {budget:?}: shorten one, or wait longer before the process is killed"
                ),
            ));
        }
        Ok(())
    }

    /// Whether they do, and what hooks were promised fits into `close`.
    pub(super) fn check_promise(&self, promised: Duration) -> Result<(), InvalidSetting> {
        self.check()?;
        if promised > self.close {
            let Self { close, .. } = self;
            return Err(InvalidSetting::new(
                "close",
                format!("the hooks were promised {promised:?} in all, more than {close:?}"),
            ));
        }
        Ok(())
    }
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self {
            budget: Duration::from_secs(30),
            delay: Duration::from_secs(5),
            drain: Duration::from_secs(15),
            cancel: Duration::from_secs(3),
            close: Duration::from_secs(5),
            come_back_within: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_fits_into_thirty_seconds() {
        let settings = ShutdownSettings::default();
        assert_eq!(settings.check(), Ok(()));
        assert!(settings.longest() <= Duration::from_secs(30));
    }

    #[test]
    fn phases_that_do_not_fit_name_the_budget() {
        let settings = ShutdownSettings::new().with_drain(Duration::MAX);
        let refused = settings.check().unwrap_err();
        assert_eq!(refused.field(), "budget");
    }

    #[test]
    fn more_than_there_is_for_hooks_is_refused() {
        let settings = ShutdownSettings::default();
        let refused = settings.check_promise(Duration::from_secs(6)).unwrap_err();
        assert_eq!(refused.field(), "close");
    }
}
