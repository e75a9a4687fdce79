use std::time::Duration;

use pm_core::reload::InvalidSetting;

/// When to try again, and how often. Plain data; what is not valid is refused where it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct RetrySettings {
    /// How often a call is made in all, the first time included: 1 to 10. Default 3.
    pub attempts: u32,
    /// The wait before the first retry, doubled for each further one: more than zero, at most
    /// `longest`. Default 50 ms.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub base: Duration,
    /// What the doubling ends at: at most 5 minutes. Default 1 s.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub longest: Duration,
    /// How much of a wait is left to chance. Default all of it.
    pub jitter: Jitter,
    /// The longest wait that what was called may ask for: at most one hour. If it asks for more,
    /// there is no retry. Default 30 s.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub patience: Duration,
}

/// How much of a wait is left to chance, so that those who failed together do not return together.
///
/// Whoever asked to be left alone gets equal jitter in any case, on top of what it asked for: a wait
/// that chance has made short would be no answer to that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Jitter {
    /// Between nothing and the whole.
    #[default]
    Full,
    /// Between a half and the whole.
    Equal,
    /// The whole, always.
    None,
}

impl RetrySettings {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            attempts: 3,
            base: Duration::from_millis(50),
            longest: Duration::from_secs(1),
            jitter: Jitter::Full,
            patience: Duration::from_secs(30),
        }
    }

    /// Waits that begin with `base` and are doubled up to `longest`.
    #[must_use]
    pub const fn exponential(base: Duration, longest: Duration) -> Self {
        Self {
            base,
            longest,
            ..Self::new()
        }
    }

    /// The same, with so many attempts in all.
    #[must_use]
    pub const fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    /// The same, with this jitter.
    #[must_use]
    pub const fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// The same, with this longest wait that may be asked for.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Whether all of it is valid.
    ///
    /// # Errors
    ///
    /// The first field that is not, and what it should be.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let refuse = |field, reason| Err(InvalidSetting::new(field, reason));
        if !(1..=10).contains(&self.attempts) {
            return refuse("attempts", "1 to 10, the first one included");
        }
        if self.longest > Duration::from_secs(300) {
            return refuse("longest", "at most 5 minutes");
        }
        if self.base.is_zero() || self.base > self.longest {
            return refuse("base", "more than zero, at most `longest`");
        }
        if self.patience > Duration::from_secs(3_600) {
            return refuse("patience", "at most one hour");
        }
        Ok(())
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self::new()
    }
}
