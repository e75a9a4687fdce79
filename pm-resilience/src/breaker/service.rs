use std::fmt;
use std::marker::PhantomData;
use std::task::{Context, Poll};

use tower_service::Service;

use super::{Breaker, BreakerOf, Head, Permit, ResponseFuture, Until};
use crate::Error;
use crate::classify::Errors;
use crate::oneshot::Oneshot;

/// What [`BreakerLayer`](super::BreakerLayer) builds.
///
/// It is always ready, and decides when it is called. The inner service is cloned for each call that
/// is let in, and its readiness is awaited within the call: an error of it is a result like any
/// other. A call that is rejected touches nothing of it.
pub struct BreakerService<S, C = Errors, U = Head, B = Breaker> {
    inner: S,
    breaker: B,
    classify: C,
    until: PhantomData<fn() -> U>,
}

impl<S, C, U, B> BreakerService<S, C, U, B> {
    pub(super) const fn new(inner: S, breaker: B, classify: C) -> Self {
        Self {
            inner,
            breaker,
            classify,
            until: PhantomData,
        }
    }

    /// What tells which breaker guards a request: the breaker, if it is the same for all.
    pub const fn breaker(&self) -> &B {
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

impl<S, Req, C, U, B> Service<Req> for BreakerService<S, C, U, B>
where
    S: Service<Req> + Clone,
    C: Clone,
    B: BreakerOf<Req>,
    U: Until<C, S::Response, S::Error, Breaker>,
{
    type Response = U::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, Req, C, U>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        match Permit::try_acquire(self.breaker.breaker_of(&request)) {
            Ok(permit) => {
                let call = Oneshot::new(self.inner.clone(), request);
                ResponseFuture::admitted(call, permit, self.classify.clone())
            }
            Err(rejection) => ResponseFuture::rejected(rejection),
        }
    }
}

impl<S: Clone, C: Clone, U, B: Clone> Clone for BreakerService<S, C, U, B> {
    fn clone(&self) -> Self {
        let (inner, classify) = (self.inner.clone(), self.classify.clone());
        Self::new(inner, self.breaker.clone(), classify)
    }
}

impl<S: fmt::Debug, C, U, B: fmt::Debug> fmt::Debug for BreakerService<S, C, U, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerService")
            .field("inner", &self.inner)
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}
