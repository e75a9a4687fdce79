use std::fmt;
use std::task::{Context, Poll};

use tower_service::Service;

use super::{Breaker, ResponseFuture};
use crate::Error;
use crate::classify::{Classify, Errors};
use crate::oneshot::Oneshot;

/// What [`BreakerLayer`](super::BreakerLayer) builds.
///
/// It is always ready, and decides when it is called. The inner service is cloned for each call that
/// is let in, and its readiness is awaited within the call: an error of it is a result like any
/// other. A call that is rejected touches nothing of it.
#[derive(Clone)]
pub struct BreakerService<S, C = Errors> {
    inner: S,
    breaker: Breaker,
    classify: C,
}

impl<S, C> BreakerService<S, C> {
    pub(super) const fn new(inner: S, breaker: Breaker, classify: C) -> Self {
        Self {
            inner,
            breaker,
            classify,
        }
    }

    /// The breaker.
    pub const fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req, C> Service<Req> for BreakerService<S, C>
where
    S: Service<Req> + Clone,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, Req, C>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        match self.breaker.try_acquire_owned() {
            Ok(permit) => {
                let call = Oneshot::new(self.inner.clone(), request);
                ResponseFuture::admitted(call, permit, self.classify.clone())
            }
            Err(rejection) => ResponseFuture::rejected(rejection),
        }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for BreakerService<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerService")
            .field("inner", &self.inner)
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}
