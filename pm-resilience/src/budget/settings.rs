use pm_core::reload::InvalidSetting;

/// How large a [`Budget`](super::Budget) is. Plain data; what is not valid is refused where it is
/// used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct BudgetSettings {
    /// Retries per 100 calls: 0 to 1,000. Default 20.
    pub percent: u32,
    /// Retries that there may be each second, whatever the number of calls: 0 to 1,000. Default 10.
    pub floor_per_second: u32,
    /// Retries that calls may save up for later: 1 to 100,000. Default 100.
    pub reserve: u32,
}

impl BudgetSettings {
    pub(super) const MOST: u32 = 1_000;

    /// The defaults: 20 %, 10 each second, at most 100 saved up.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            percent: 20,
            floor_per_second: 10,
            reserve: 100,
        }
    }

    /// The same, with so many retries per 100 calls.
    #[must_use]
    pub const fn percent(mut self, percent: u32) -> Self {
        self.percent = percent;
        self
    }

    /// The same, with so many retries each second on top.
    #[must_use]
    pub const fn floor_per_second(mut self, retries: u32) -> Self {
        self.floor_per_second = retries;
        self
    }

    /// The same, with so many retries that may be saved up.
    #[must_use]
    pub const fn reserve(mut self, retries: u32) -> Self {
        self.reserve = retries;
        self
    }

    /// Whether all of it is valid.
    ///
    /// # Errors
    ///
    /// The first field that is not, and what it should be.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let refuse = |field, reason| Err(InvalidSetting::new(field, reason));
        if self.percent > Self::MOST {
            return refuse("percent", "0 to 1,000 retries per 100 calls");
        }
        if self.floor_per_second > Self::MOST {
            return refuse("floor_per_second", "0 to 1,000");
        }
        if self.reserve == 0 || self.reserve > 100_000 {
            return refuse("reserve", "1 to 100,000");
        }
        Ok(())
    }
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self::new()
    }
}
