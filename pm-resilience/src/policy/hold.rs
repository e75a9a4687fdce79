use std::borrow::Borrow;
use std::ops::Deref;
use std::sync::Arc;

use pm_core::Clock;

use crate::{Breaker, Fallback, Retry, SlowLog, Timeout};

/// What a policy consists of.
pub(super) struct Parts<C> {
    pub(super) name: Arc<str>,
    pub(super) timeout: Timeout,
    pub(super) breaker: Breaker,
    pub(super) retry: Option<Retry>,
    pub(super) slow_log: Option<SlowLog>,
    pub(super) stale: Fallback,
    pub(super) classify: C,
    pub(super) clock: Clock,
}

/// A policy as a call has it: lent to a future that does not outlive it, or owned.
pub(super) trait Hold:
    Clone + Borrow<Breaker> + Deref<Target = Parts<Self::Classifier>>
{
    type Classifier;
}

pub(super) struct Lent<'p, C>(pub(super) &'p Parts<C>);

pub(super) struct Owned<C>(pub(super) Arc<Parts<C>>);

impl<C> Hold for Lent<'_, C> {
    type Classifier = C;
}

impl<C> Hold for Owned<C> {
    type Classifier = C;
}

impl<C> Deref for Lent<'_, C> {
    type Target = Parts<C>;

    fn deref(&self) -> &Parts<C> {
        self.0
    }
}

impl<C> Deref for Owned<C> {
    type Target = Parts<C>;

    fn deref(&self) -> &Parts<C> {
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
