use std::sync::Arc;
use std::time::Duration;

use pm_core::Clock;
use pm_core::reload::InvalidSetting;

use super::Policy;
use super::hold::Parts;
use crate::breaker::Mode;
use crate::classify::Errors;
use crate::{
    Breaker, BreakerSettings, Budget, Fallback, Retry, RetrySettings, SlowLog, SlowLogSettings,
    Timeout, Timeouts,
};

/// What a [`Policy`] is built from, all at once. Made by [`Policy::named`].
///
/// What is not said is not there, but for the time-outs: without [`timeouts`](Self::timeouts) they
/// are the [defaults](Timeouts::new).
#[derive(Clone, Debug)]
#[must_use = "a policy is there once it is built"]
pub struct PolicyBuilder<C = Errors> {
    name: Arc<str>,
    timeouts: Timeouts,
    breaker: Option<BreakerSettings>,
    retry: Option<RetrySettings>,
    budget: Option<Budget>,
    slow_log: Option<SlowLogSettings>,
    stale_at_most: u32,
    classify: C,
    clock: Clock,
}

impl PolicyBuilder {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            timeouts: Timeouts::new(),
            breaker: None,
            retry: None,
            budget: None,
            slow_log: None,
            stale_at_most: 100,
            classify: Errors,
            clock: Clock::system(),
        }
    }
}

impl<C> PolicyBuilder<C> {
    /// How long an attempt may take, by class.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Attempts are guarded by a breaker. The lease of a probe is the longest of the time-outs if
    /// it is not set.
    pub fn breaker(mut self, settings: BreakerSettings) -> Self {
        self.breaker = Some(settings);
        self
    }

    /// What may be repeated is retried.
    pub fn retry(mut self, settings: RetrySettings) -> Self {
        self.retry = Some(settings);
        self
    }

    /// What retries draw on, if others that call the same dependency are to share it. Without it,
    /// 20 % and ten each second, for this policy alone.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Operations that take long are logged. A [`Duration`] is a threshold.
    pub fn slow_log(mut self, settings: impl Into<SlowLogSettings>) -> Self {
        self.slow_log = Some(settings.into());
        self
    }

    /// How many may ask for stale data at the same time. Default 100.
    pub fn stale_at_most(mut self, at_most: u32) -> Self {
        self.stale_at_most = at_most;
        self
    }

    /// What results say: a [`Classify`](crate::Classify). Default [`Errors`].
    pub fn classify<D>(self, classify: D) -> PolicyBuilder<D> {
        PolicyBuilder {
            name: self.name,
            timeouts: self.timeouts,
            breaker: self.breaker,
            retry: self.retry,
            budget: self.budget,
            slow_log: self.slow_log,
            stale_at_most: self.stale_at_most,
            classify,
            clock: self.clock,
        }
    }

    /// By another clock. A budget that was handed in keeps its own.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The policy.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names it, like `breaker.open_for`.
    pub fn build(self) -> Result<Policy<C>, InvalidSetting> {
        let Self {
            name,
            timeouts,
            clock,
            ..
        } = self;
        let longest = longest(&timeouts);
        let timeout = Timeout::new(name.clone(), timeouts).map_err(within("timeouts"))?;

        // One that is disabled costs a load, and can be switched on later.
        let mut settings = self
            .breaker
            .unwrap_or_else(|| BreakerSettings::new().with_mode(Mode::Disabled));
        settings.probe_lease = settings.probe_lease.or(Some(longest));
        let breaker = Breaker::new(name.clone(), settings).map_err(within("breaker"))?;

        let budget = self.budget.unwrap_or_else(|| {
            let default = Budget::percent(20).floor_per_second(10);
            default.with_clock(clock.clone())
        });
        let retry = self
            .retry
            .map(|settings| Retry::new(name.clone(), settings, budget))
            .transpose()
            .map_err(within("retry"))?;
        let slow_log = self
            .slow_log
            .map(|settings| SlowLog::new(name.clone(), settings))
            .transpose()
            .map_err(within("slow_log"))?;

        Ok(Policy::new(Parts {
            timeout: timeout.with_clock(clock.clone()),
            breaker: breaker.with_clock(clock.clone()),
            retry: retry.map(|retry| retry.with_clock(clock.clone())),
            slow_log: slow_log.map(|log| log.with_clock(clock.clone())),
            stale: Fallback::new(name.clone(), self.stale_at_most),
            classify: self.classify,
            name,
            clock,
        }))
    }
}

fn longest(timeouts: &Timeouts) -> Duration {
    let fixed = timeouts.read.max(timeouts.write).max(timeouts.batch);
    timeouts.custom.values().copied().fold(fixed, Duration::max)
}

/// Names the part that a field belongs to.
fn within(part: &'static str) -> impl Fn(InvalidSetting) -> InvalidSetting {
    move |error| {
        let field = format!("{part}.{}", error.field());
        InvalidSetting::new(field, error.reason().to_owned())
    }
}
