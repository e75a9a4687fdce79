use std::time::Duration;

use pm_core::reload::InvalidSetting;

/// When to begin a second attempt. Plain data; what is not valid is refused where it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[non_exhaustive]
pub struct HedgeSettings {
    /// How long to wait for the first: more than zero and at most one hour. What 95 of 100 calls do
    /// not take is a good choice.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub after: Duration,
}

impl HedgeSettings {
    /// A second attempt after so long.
    #[must_use]
    pub const fn after(after: Duration) -> Self {
        Self { after }
    }

    /// Whether all of it is valid.
    ///
    /// # Errors
    ///
    /// The first field that is not, and what it should be.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        if self.after.is_zero() || self.after > Duration::from_secs(3_600) {
            let reason = "more than zero and at most one hour";
            return Err(InvalidSetting::new("after", reason));
        }
        Ok(())
    }
}
