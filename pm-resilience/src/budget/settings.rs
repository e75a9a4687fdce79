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

    /// Settings that are valid, in one word: what is read with every call is read in one step.
    pub(super) const fn bits(self) -> u64 {
        (self.percent as u64) << 48 | (self.floor_per_second as u64) << 32 | self.reserve as u64
    }

    pub(super) const fn from_bits(bits: u64) -> Self {
        Self {
            percent: (bits >> 48) as u32,
            floor_per_second: (bits >> 32) as u32 & 0xffff,
            reserve: bits as u32,
        }
    }

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
    pub const fn with_percent(mut self, percent: u32) -> Self {
        self.percent = percent;
        self
    }

    /// The same, with so many retries each second on top.
    #[must_use]
    pub const fn with_floor_per_second(mut self, retries: u32) -> Self {
        self.floor_per_second = retries;
        self
    }

    /// The same, with so many retries that may be saved up.
    #[must_use]
    pub const fn with_reserve(mut self, retries: u32) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_settings_survive_being_one_word() {
        for (percent, floor_per_second, reserve) in
            [(0, 0, 1), (20, 10, 100), (1_000, 1_000, 100_000)]
        {
            let settings = BudgetSettings {
                percent,
                floor_per_second,
                reserve,
            };
            settings.check().expect("valid");
            assert_eq!(BudgetSettings::from_bits(settings.bits()), settings);
        }
    }
}
