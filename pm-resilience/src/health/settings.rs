use std::num::NonZeroU32;
use std::time::Duration;

use pm_core::reload::InvalidSetting;

/// What it means that a dependency is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Weight {
    /// Nothing can be done without it: the process is not ready.
    Critical,
    /// Less, or slower: the process is ready, and says `warn`.
    Degraded,
}

/// When a dependency is checked, and when it is up or down. Plain data; what is not valid is refused
/// where it is used. With the feature `serde`, times are written like `250ms` or `5s`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct CheckSettings {
    /// The pause between the end of a check and the next one. 5 s by default.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub every: Duration,
    /// How long a check may take; then it is dropped, and has failed. 2 s by default.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub timeout: Duration,
    /// Down after so many checks in a row that failed. 2 by default.
    pub failures: NonZeroU32,
    /// Up again after so many checks in a row that passed. 1 by default.
    pub successes: NonZeroU32,
}

impl CheckSettings {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with this pause between checks.
    #[must_use]
    pub const fn with_every(mut self, pause: Duration) -> Self {
        self.every = pause;
        self
    }

    /// The same, where a check may take so long.
    #[must_use]
    pub const fn with_timeout(mut self, time: Duration) -> Self {
        self.timeout = time;
        self
    }

    /// The same, down after so many that failed.
    #[must_use]
    pub const fn with_failures(mut self, checks: NonZeroU32) -> Self {
        self.failures = checks;
        self
    }

    /// The same, up after so many that passed.
    #[must_use]
    pub const fn with_successes(mut self, checks: NonZeroU32) -> Self {
        self.successes = checks;
        self
    }

    /// Whether all of it is valid.
    ///
    /// # Errors
    ///
    /// The first field that is not, and what it should be.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        for (field, time) in [("every", self.every), ("timeout", self.timeout)] {
            if time.is_zero() {
                return Err(InvalidSetting::new(field, "longer than nothing"));
            }
        }
        Ok(())
    }

    /// How old what is known may be: twice as long as a check takes at most to come round.
    pub(super) const fn stale_after(&self) -> Duration {
        self.every.saturating_add(self.timeout).saturating_mul(2)
    }
}

impl Default for CheckSettings {
    fn default() -> Self {
        const TWO: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);
        Self {
            every: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            failures: TWO,
            successes: NonZeroU32::MIN,
        }
    }
}
