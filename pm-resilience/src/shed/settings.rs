use pm_core::reload::InvalidSetting;

use crate::Priority;

/// Up to which share of the limit each priority is let in. Plain data; what is not valid is refused
/// where it is used.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct ShedSettings {
    /// 0.6 by default.
    pub low: f64,
    /// 0.8 by default.
    pub normal: f64,
    /// 0.95 by default.
    pub high: f64,
    /// 1 by default.
    pub critical: f64,
}

impl ShedSettings {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, where this priority is let in up to this share.
    #[must_use]
    pub const fn with_share(mut self, priority: Priority, share: f64) -> Self {
        match priority {
            Priority::Low => self.low = share,
            Priority::Normal => self.normal = share,
            Priority::High => self.high = share,
            Priority::Critical => self.critical = share,
        }
        self
    }

    pub(super) const fn share(&self, priority: Priority) -> f64 {
        match priority {
            Priority::Low => self.low,
            Priority::Normal => self.normal,
            Priority::High => self.high,
            Priority::Critical => self.critical,
        }
    }

    /// Whether all of it is valid: each share above 0 and at most 1, and none smaller than that of what
    /// matters less.
    ///
    /// # Errors
    ///
    /// The first field that is not, and what it should be.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let mut below = 0.0;
        for priority in Priority::ALL {
            let share = self.share(priority);
            if !(share > 0.0 && share <= 1.0) {
                return Err(InvalidSetting::new(
                    priority.as_str(),
                    "above 0 and at most 1",
                ));
            }
            if share < below {
                return Err(InvalidSetting::new(
                    priority.as_str(),
                    "at least as much as what matters less has",
                ));
            }
            below = share;
        }
        Ok(())
    }
}

impl Default for ShedSettings {
    fn default() -> Self {
        Self {
            low: 0.6,
            normal: 0.8,
            high: 0.95,
            critical: 1.0,
        }
    }
}
