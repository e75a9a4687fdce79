use std::fmt;
use std::future::Future;
use std::sync::Arc;

use arc_swap::ArcSwap;
use pm_core::reload::InvalidSetting;
use pm_core::{Clock, Tick};

use super::backoff;
use super::{RetryLayer, RetrySettings, Run};
use crate::telemetry::RetryMetrics;
use crate::{Budget, Classify, Deadline, Outcome};

/// Retries; see the [module documentation](super).
///
/// A handle: clones are the same settings and the same budget.
#[derive(Clone)]
pub struct Retry(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    settings: ArcSwap<RetrySettings>,
    budget: Budget,
    clock: Clock,
    metrics: RetryMetrics,
}

/// Why there is no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GivenUp {
    /// The outcome is final: it worked, or to ask again would not help.
    Final,
    /// There were as many attempts as there may be.
    Attempts,
    /// What was called asked to be left alone for longer than anybody wants to wait.
    Patience,
    /// The caller would not wait for the answer.
    Deadline,
    /// The budget is used up.
    Budget,
}

impl Retry {
    /// Retries that draw on `budget`.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names it.
    pub fn new(
        name: impl Into<Arc<str>>,
        settings: RetrySettings,
        budget: Budget,
    ) -> Result<Self, InvalidSetting> {
        settings.check()?;
        Ok(Self::build(name.into(), settings, budget, Clock::system()))
    }

    /// The same settings and the same budget in a handle of its own, by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        let Shared { name, budget, .. } = &*self.0;
        Self::build(Arc::clone(name), self.settings(), budget.clone(), clock)
    }

    fn build(name: Arc<str>, settings: RetrySettings, budget: Budget, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            metrics: RetryMetrics::new(&name),
            name,
            settings: ArcSwap::from_pointee(settings),
            budget,
            clock,
        }))
    }

    /// The name in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What retries draw on.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// A call begins: its share goes to the budget.
    pub fn begin(&self) {
        self.0.budget.deposit();
    }

    /// When to make a call again whose attempt of this number, the first being 1, has ended like
    /// this. The retry is withdrawn from the budget then: it is to be made.
    ///
    /// Reads the clock only behind a retryable outcome. Whether the call may be repeated at all is
    /// for the caller to know.
    ///
    /// # Errors
    ///
    /// Why there is no further attempt; nothing is withdrawn then.
    pub fn decide(
        &self,
        attempt: u32,
        outcome: Outcome,
        deadline: Option<Deadline>,
    ) -> Result<Tick, GivenUp> {
        let decision = self.weigh(attempt, outcome, deadline);
        self.0.metrics.decided(&decision);
        decision
    }

    fn weigh(
        &self,
        attempt: u32,
        outcome: Outcome,
        deadline: Option<Deadline>,
    ) -> Result<Tick, GivenUp> {
        let Outcome::Retryable { after } = outcome else {
            return Err(GivenUp::Final);
        };
        let settings = self.settings();
        if attempt >= settings.attempts {
            return Err(GivenUp::Attempts);
        }
        if after.is_some_and(|after| after > settings.patience) {
            return Err(GivenUp::Patience);
        }
        let wait = backoff::wait(&settings, attempt, after, backoff::random);
        let again = self.0.clock.now() + wait;
        if deadline.is_some_and(|deadline| deadline.has_passed(again)) {
            return Err(GivenUp::Deadline);
        }
        if !self.0.budget.try_withdraw() {
            return Err(GivenUp::Budget);
        }
        Ok(again)
    }

    /// Makes calls with `make` until one's outcome is final or it is given up; the last result is
    /// the answer. Use it for what may be repeated, and for nothing else.
    ///
    /// Waits under the [current](Deadline::current) deadline. Nothing happens before it is polled;
    /// dropping it drops the attempt that is under way, or the wait.
    pub fn run<M, F, C, T, E>(&self, classify: C, make: M) -> Run<M, F, C>
    where
        M: FnMut() -> F,
        F: Future<Output = Result<T, E>>,
        C: Classify<T, E>,
    {
        Run::new(self.clone(), classify, make)
    }

    /// The layer that retries HTTP requests, by what `classify` says of their results.
    pub fn layer<C>(&self, classify: C) -> RetryLayer<C> {
        RetryLayer::new(self.clone(), classify)
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> RetrySettings {
        **self.0.settings.load()
    }

    /// Changes the settings, for whatever is decided from now on. The budget stays.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names it, and nothing has changed.
    pub fn reload(&self, settings: RetrySettings) -> Result<(), InvalidSetting> {
        settings.check()?;
        self.0.settings.store(Arc::new(settings));
        Ok(())
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("name", &self.0.name)
            .field("settings", &self.settings())
            .field("budget", &self.0.budget)
            .finish_non_exhaustive()
    }
}
