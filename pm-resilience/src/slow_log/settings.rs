use std::time::Duration;

use pm_core::reload::InvalidSetting;

/// What is slow, and how many lines there may be. Plain data; what is not valid is refused where it
/// is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct SlowLogSettings {
    /// An operation that takes as long is slow: more than zero. Default 100 ms.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub threshold: Duration,
    /// Lines per second: 1 to 1,000. Default 10.
    pub lines_per_second: u32,
}

impl SlowLogSettings {
    /// Whatever takes as long, ten lines a second.
    #[must_use]
    pub const fn above(threshold: Duration) -> Self {
        Self {
            threshold,
            lines_per_second: 10,
        }
    }

    /// The same, with so many lines a second.
    #[must_use]
    pub const fn with_lines_per_second(mut self, lines: u32) -> Self {
        self.lines_per_second = lines;
        self
    }

    /// Whether all of it is valid.
    ///
    /// # Errors
    ///
    /// The first field that is not, and what it should be.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        if self.threshold.is_zero() {
            return Err(InvalidSetting::new("threshold", "more than zero"));
        }
        if !(1..=1_000).contains(&self.lines_per_second) {
            return Err(InvalidSetting::new("lines_per_second", "1 to 1,000"));
        }
        Ok(())
    }
}

impl Default for SlowLogSettings {
    fn default() -> Self {
        Self::above(Duration::from_millis(100))
    }
}

/// `Duration` alone is a threshold.
impl From<Duration> for SlowLogSettings {
    fn from(threshold: Duration) -> Self {
        Self::above(threshold)
    }
}
