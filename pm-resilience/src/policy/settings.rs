use pm_core::reload::InvalidSetting;

use crate::{
    BreakerSettings, BulkheadSettings, FallbackSettings, LimitSettings, RetrySettings,
    ShedSettings, SlowLogSettings, Timeouts,
};

/// What a [`Policy`](super::Policy) consists of. Plain data; what is not there is not in a policy that
/// is built, and stays as it is in one that is [reloaded](super::Policy::reload). The budget of
/// retries is a handle of its own, because it can be shared.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct PolicySettings {
    /// How long an attempt may take. Without it, the [defaults](Timeouts::new).
    pub timeouts: Option<Timeouts>,
    /// How many operations there may be, found out.
    pub limit: Option<LimitSettings>,
    /// Who has which share of the limit.
    pub shed: Option<ShedSettings>,
    /// What may be repeated is.
    pub retry: Option<RetrySettings>,
    /// When to stop calling. The lease of a probe is the longest of the time-outs if it is not set.
    pub breaker: Option<BreakerSettings>,
    /// How many attempts there may be at the same time.
    pub bulkhead: Option<BulkheadSettings>,
    /// What is slow.
    pub slow_log: Option<SlowLogSettings>,
    /// How many may ask for another answer. Without it, the default.
    pub fallback: Option<FallbackSettings>,
}

impl PolicySettings {
    /// Whether all of it is valid.
    ///
    /// # Errors
    ///
    /// The first field that is not, with the part that it belongs to, like `breaker.open_for`.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        check("timeouts", self.timeouts.as_ref(), Timeouts::check)?;
        check("limit", self.limit.as_ref(), LimitSettings::check)?;
        check("shed", self.shed.as_ref(), ShedSettings::check)?;
        check("retry", self.retry.as_ref(), RetrySettings::check)?;
        check("breaker", self.breaker.as_ref(), BreakerSettings::check)?;
        check("slow_log", self.slow_log.as_ref(), SlowLogSettings::check)
    }
}

fn check<S>(
    part: &'static str,
    settings: Option<&S>,
    check: fn(&S) -> Result<(), InvalidSetting>,
) -> Result<(), InvalidSetting> {
    settings
        .map_or(Ok(()), check)
        .map_err(|error| error.within(part))
}
