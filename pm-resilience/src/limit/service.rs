use std::fmt;
use std::task::{Context, Poll};

use tower_service::Service;

use super::{Permits, ResponseFuture};
use crate::oneshot::Oneshot;
use crate::{Classify, Error};

/// What [`LimitLayer`](super::LimitLayer) builds.
///
/// Always ready: the readiness of the inner service is waited for with the permit, as a part of the
/// call.
#[derive(Clone)]
pub struct LimitService<S, G, C> {
    inner: S,
    permits: G,
    classify: C,
}

impl<S, G, C> LimitService<S, G, C> {
    pub(super) const fn new(inner: S, permits: G, classify: C) -> Self {
        Self {
            inner,
            permits,
            classify,
        }
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

impl<S, Req, G, C> Service<Req> for LimitService<S, G, C>
where
    S: Service<Req> + Clone,
    G: Permits<Req>,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, Req, C>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        match self.permits.permit(&request) {
            Ok(permit) => {
                let call = Oneshot::new(self.inner.clone(), request);
                ResponseFuture::permitted(call, permit, self.classify.clone())
            }
            Err(rejection) => ResponseFuture::rejected(rejection),
        }
    }
}

impl<S: fmt::Debug, G: fmt::Debug, C> fmt::Debug for LimitService<S, G, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitService")
            .field("inner", &self.inner)
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}
