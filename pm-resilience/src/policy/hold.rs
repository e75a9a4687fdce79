use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use pm_core::Clock;

use crate::telemetry::{DeadlineMetrics, PolicyMetrics};
use crate::{
    Breaker, Bulkhead, Fallback, Limit, Priority, Rejection, Retry, Shed, SlowLog, Timeout, limit,
};

/// What a policy consists of.
pub(super) struct Parts<C> {
    pub(super) name: Arc<str>,
    pub(super) timeout: Timeout,
    pub(super) limit: Option<Limit>,
    pub(super) shed: Option<Shed>,
    pub(super) retry: Option<Retry>,
    pub(super) breaker: Breaker,
    pub(super) bulkhead: Option<Bulkhead>,
    pub(super) slow_log: Option<SlowLog>,
    pub(super) fallback: Fallback,
    pub(super) classify: C,
    pub(super) clock: Clock,
    pub(super) deadlines: DeadlineMetrics,
    pub(super) metrics: PolicyMetrics,
}

impl<C> Parts<C> {
    /// Whether one more of this priority may begin; with a permit, if there is a limit.
    pub(super) fn admit(&self, priority: Priority) -> Result<Option<limit::Permit>, Rejection> {
        match (&self.shed, &self.limit) {
            (Some(shed), _) => shed.try_acquire(priority).map(Some),
            (None, Some(limit)) => limit.try_acquire().map(Some),
            (None, None) => Ok(None),
        }
    }
}

/// A policy as a call has it: lent to a future that does not outlive it, or owned.
pub(super) trait Hold: Clone + Borrow<Breaker> {
    type Classifier;

    fn parts(&self) -> &Parts<Self::Classifier>;
}

pub(super) struct Lent<'p, C>(pub(super) &'p Parts<C>);

/// How a response that is still [watched](crate::breaker::BodyEnd) holds its policy.
pub struct Owned<C>(pub(super) Arc<Parts<C>>);

impl<C> Hold for Lent<'_, C> {
    type Classifier = C;

    #[inline]
    fn parts(&self) -> &Parts<C> {
        self.0
    }
}

impl<C> Hold for Owned<C> {
    type Classifier = C;

    #[inline]
    fn parts(&self) -> &Parts<C> {
        &self.0
    }
}

impl<C> Borrow<Breaker> for Lent<'_, C> {
    fn borrow(&self) -> &Breaker {
        &self.0.breaker
    }
}

impl<C> Borrow<Breaker> for Owned<C> {
    fn borrow(&self) -> &Breaker {
        &self.0.breaker
    }
}

impl<C> fmt::Debug for Owned<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owned").field(&self.0.name).finish()
    }
}

impl<C> Clone for Lent<'_, C> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<C> Clone for Owned<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
