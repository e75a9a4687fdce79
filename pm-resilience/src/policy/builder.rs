use std::sync::Arc;

use pm_core::Clock;
use pm_core::reload::InvalidSetting;

use super::hold::Parts;
use super::{Policy, PolicySettings};
use crate::breaker::Mode;
use crate::classify::Errors;
use crate::telemetry::{DeadlineMetrics, PolicyMetrics};
use crate::{
    Breaker, BreakerSettings, Budget, Bulkhead, BulkheadSettings, Fallback, FallbackSettings,
    Limit, LimitSettings, Retry, RetrySettings, Shed, ShedSettings, SlowLog, SlowLogSettings,
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
    key: Option<Box<str>>,
    settings: PolicySettings,
    budget: Option<Budget>,
    classify: C,
    clock: Clock,
}

impl PolicyBuilder {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            key: None,
            settings: PolicySettings::default(),
            budget: None,
            classify: Errors,
            clock: Clock::system(),
        }
    }
}

impl<C> PolicyBuilder<C> {
    /// Which of many policies of that name it is, for the log: a tenant, a host. In metrics and
    /// rejections they are one.
    pub fn key(mut self, key: impl Into<Box<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// All of these settings, in the place of whatever was said before.
    pub fn settings(mut self, settings: PolicySettings) -> Self {
        self.settings = settings;
        self
    }

    /// How long an attempt may take, by class.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.settings.timeouts = Some(timeouts);
        self
    }

    /// Operations need a permit of a limit that adapts.
    pub fn limit(mut self, settings: LimitSettings) -> Self {
        self.settings.limit = Some(settings);
        self
    }

    /// Operations need a permit of a limit that adapts, what matters most to the last: by
    /// [`Call::priority`](super::Call::priority), of requests by the [`Priority`](crate::Priority) in
    /// their extensions. Without [`limit`](Self::limit), of the default one.
    pub fn shed(mut self, settings: ShedSettings) -> Self {
        self.settings.shed = Some(settings);
        self
    }

    /// Attempts are guarded by a breaker. The lease of a probe is the longest of the time-outs if
    /// it is not set.
    pub fn breaker(mut self, settings: BreakerSettings) -> Self {
        self.settings.breaker = Some(settings);
        self
    }

    /// Attempts need a place in a bulkhead, or wait for one as its settings say.
    pub fn bulkhead(mut self, settings: BulkheadSettings) -> Self {
        self.settings.bulkhead = Some(settings);
        self
    }

    /// What may be repeated is retried.
    pub fn retry(mut self, settings: RetrySettings) -> Self {
        self.settings.retry = Some(settings);
        self
    }

    /// What retries draw on, if others that call the same dependency are to share it. Without it,
    /// 20 % and ten each second, for this policy alone.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = Some(budget);
        self
    }

    /// Operations that take long are logged. A [`Duration`](std::time::Duration) is a threshold.
    pub fn slow_log(mut self, settings: impl Into<SlowLogSettings>) -> Self {
        self.settings.slow_log = Some(settings.into());
        self
    }

    /// How many may ask for another answer at the same time: for stale data, or of
    /// [`or_else`](super::Call::or_else). A number is that. Default 100.
    pub fn fallback(mut self, settings: impl Into<FallbackSettings>) -> Self {
        self.settings.fallback = Some(settings.into());
        self
    }

    /// What results say: a [`Classify`](crate::Classify). Default [`Errors`].
    pub fn classify<D>(self, classify: D) -> PolicyBuilder<D> {
        PolicyBuilder {
            name: self.name,
            key: self.key,
            settings: self.settings,
            budget: self.budget,
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
            key,
            settings,
            clock,
            ..
        } = self;
        let timeouts = settings.timeouts.unwrap_or_default();
        // One that is disabled costs a load, and can be switched on later.
        let breaker = settings
            .breaker
            .unwrap_or_else(|| BreakerSettings::new().with_mode(Mode::Disabled));
        let breaker =
            Breaker::new(name.clone(), breaker).map_err(|error| error.within("breaker"))?;
        let timeout =
            Timeout::new(name.clone(), timeouts).map_err(|error| error.within("timeouts"))?;

        let limit = match (settings.limit, &settings.shed) {
            (None, Some(_)) => Some(LimitSettings::default()),
            (limit, _) => limit,
        };
        let limit = limit
            .map(|settings| Limit::new(name.clone(), settings))
            .transpose()
            .map_err(|error| error.within("limit"))?
            .map(|limit| limit.with_clock(clock.clone()));
        let shed = limit
            .clone()
            .zip(settings.shed)
            .map(|(limit, settings)| Shed::new(limit, settings))
            .transpose()
            .map_err(|error| error.within("shed"))?;

        let budget = self.budget.unwrap_or_else(|| {
            let default = Budget::percent(20).with_floor_per_second(10);
            default.with_clock(clock.clone())
        });
        let retry = settings
            .retry
            .map(|settings| Retry::new(name.clone(), settings, budget))
            .transpose()
            .map_err(|error| error.within("retry"))?;
        let bulkhead = settings
            .bulkhead
            .map(|settings| Bulkhead::new(name.clone(), settings));
        let slow_log = settings
            .slow_log
            .map(|settings| SlowLog::new(name.clone(), settings))
            .transpose()
            .map_err(|error| error.within("slow_log"))?;

        let (breaker, slow_log) = match key {
            Some(key) => (
                breaker.with_key(key.clone()),
                slow_log.map(|log| log.with_key(key)),
            ),
            None => (breaker, slow_log),
        };

        let timeout = timeout.with_clock(clock.clone());
        Ok(Policy::new(Parts {
            limit,
            shed,
            retry: retry.map(|retry| retry.with_clock(clock.clone())),
            // A probe is given up with the attempt that it is, if nothing else was said.
            breaker: breaker.with_clock(clock.clone()).leasing(timeout.clone()),
            timeout,
            bulkhead: bulkhead.map(|bulkhead| bulkhead.with_clock(clock.clone())),
            slow_log: slow_log.map(|log| log.with_clock(clock.clone())),
            fallback: Fallback::new(name.clone(), settings.fallback.unwrap_or_default()),
            classify: self.classify,
            deadlines: DeadlineMetrics::new(&name),
            metrics: PolicyMetrics::new(&name),
            name,
            clock,
        }))
    }
}
