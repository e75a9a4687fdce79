use std::time::Duration;

use pm_core::reload::InvalidSetting;

const LONGEST: Duration = Duration::from_secs(86_400);
const TIME: &str = "longer than nothing, and at most a day";

/// How a limit finds out. Plain data; what is not valid is refused where it is used. With the feature
/// `serde`, times are written like `250ms`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[non_exhaustive]
pub struct LimitSettings {
    /// What it starts with. 20 by default.
    pub initial: u32,
    /// It never falls below this. 1 by default.
    pub min: u32,
    /// It never rises above this. 1,000 by default.
    pub max: u32,
    /// How it moves. By gradient, by default.
    pub rule: Rule,
    /// How long is watched before it moves, at least; never less than a call takes. At most a day; 100
    /// ms by default.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub window: Duration,
    /// How many calls are watched before it moves, at least. 10 by default.
    pub samples: u32,
    /// What the gradient multiplies it by at worst, in one window: above 0 and below 1. 0.5 by
    /// default.
    pub steepest: f64,
    /// A call that is given up after this time is lost; one that is given up earlier says nothing. At
    /// most a day; 1 s by default.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub lost_after: Duration,
}

/// How a limit moves.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
#[non_exhaustive]
pub enum Rule {
    /// By latency, compared with that of an idle service.
    Gradient {
        /// How many times longer than that is still no queue: 1 or more. 1.02 by default.
        tolerance: f64,
        /// How often the latency of an idle service is found out again, give or take a quarter. At most
        /// a day; 5 s by default.
        #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
        probe_every: Duration,
    },
    /// Additive increase, multiplicative decrease.
    Aimd {
        /// A window whose calls took longer than this on average was too much. At most a day.
        #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
        slow: Duration,
        /// What it then is multiplied by: above 0 and below 1.
        decrease: f64,
    },
}

impl LimitSettings {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, starting with this limit.
    #[must_use]
    pub const fn with_initial(mut self, limit: u32) -> Self {
        self.initial = limit;
        self
    }

    /// The same, which never falls below this.
    #[must_use]
    pub const fn with_min(mut self, limit: u32) -> Self {
        self.min = limit;
        self
    }

    /// The same, which never rises above this.
    #[must_use]
    pub const fn with_max(mut self, limit: u32) -> Self {
        self.max = limit;
        self
    }

    /// The same, moving by this rule.
    #[must_use]
    pub const fn with_rule(mut self, rule: Rule) -> Self {
        self.rule = rule;
        self
    }

    /// The same, watching for so long before it moves.
    #[must_use]
    pub const fn with_window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// The same, watching so many calls before it moves.
    #[must_use]
    pub const fn with_samples(mut self, calls: u32) -> Self {
        self.samples = calls;
        self
    }

    /// The same, where the gradient multiplies it by no less in one window.
    #[must_use]
    pub const fn with_steepest(mut self, share: f64) -> Self {
        self.steepest = share;
        self
    }

    /// The same, where a call that is given up after this time is lost.
    #[must_use]
    pub const fn with_lost_after(mut self, time: Duration) -> Self {
        self.lost_after = time;
        self
    }

    /// Whether all of it is valid.
    ///
    /// # Errors
    ///
    /// The first field that is not, and what it should be.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let invalid =
            |field: &'static str, reason: &'static str| Err(InvalidSetting::new(field, reason));
        let share = |share: f64| share > 0.0 && share < 1.0;
        let time = |time: Duration| !time.is_zero() && time <= LONGEST;
        if self.min == 0 {
            return invalid("min", "at least 1, else it could never rise again");
        }
        if self.max < self.min {
            return invalid("max", "at least as much as `min`");
        }
        if !(self.min..=self.max).contains(&self.initial) {
            return invalid("initial", "from `min` to `max`");
        }
        if !time(self.window) {
            return invalid("window", TIME);
        }
        if self.samples == 0 {
            return invalid("samples", "at least 1");
        }
        if !share(self.steepest) {
            return invalid("steepest", "above 0 and below 1");
        }
        if self.lost_after > LONGEST {
            return invalid("lost_after", "at most a day");
        }
        match self.rule {
            Rule::Gradient { tolerance, .. } if !(1.0..=10.0).contains(&tolerance) => {
                invalid("rule.tolerance", "from 1 to 10")
            }
            Rule::Gradient { probe_every, .. } if probe_every < self.window => {
                invalid("rule.probe_every", "at least as long as `window`")
            }
            Rule::Gradient { probe_every, .. } if probe_every > LONGEST => {
                invalid("rule.probe_every", "at most a day")
            }
            Rule::Aimd { slow, .. } if !time(slow) => invalid("rule.slow", TIME),
            Rule::Aimd { decrease, .. } if !share(decrease) => {
                invalid("rule.decrease", "above 0 and below 1")
            }
            Rule::Gradient { .. } | Rule::Aimd { .. } => Ok(()),
        }
    }

    pub(super) fn clamp(&self, limit: f64) -> f64 {
        limit.clamp(f64::from(self.min), f64::from(self.max))
    }
}

impl Rule {
    /// By latency, compared with that of an idle service.
    #[must_use]
    pub const fn gradient() -> Self {
        Self::Gradient {
            tolerance: 1.02,
            probe_every: Duration::from_secs(5),
        }
    }

    /// Additive increase, and a tenth less when a window took longer than `slow` on average.
    #[must_use]
    pub const fn aimd(slow: Duration) -> Self {
        Self::Aimd {
            slow,
            decrease: 0.9,
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            initial: 20,
            min: 1,
            max: 1_000,
            rule: Rule::gradient(),
            window: Duration::from_millis(100),
            samples: 10,
            steepest: 0.5,
            lost_after: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_more_than_a_day_is_refused_and_a_day_is_not() {
        let gradient = |probe_every| Rule::Gradient {
            tolerance: 2.0,
            probe_every,
        };
        let settings = |time| {
            let settings = LimitSettings::default();
            let with_rule = |rule| settings.clone().with_rule(rule);
            [
                ("rule.probe_every", with_rule(gradient(time))),
                ("rule.slow", with_rule(Rule::aimd(time))),
                ("lost_after", settings.clone().with_lost_after(time)),
                (
                    "window",
                    settings.clone().with_window(time).with_rule(gradient(time)),
                ),
            ]
        };
        for (field, settings) in settings(LONGEST) {
            assert_eq!(settings.check(), Ok(()), "{field}");
        }
        for time in [LONGEST + Duration::from_nanos(1), Duration::MAX] {
            for (field, settings) in settings(time) {
                assert_eq!(settings.check().unwrap_err().field(), field, "{time:?}");
            }
        }
    }
}
