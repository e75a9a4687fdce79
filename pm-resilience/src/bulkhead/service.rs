use std::task::{Context, Poll};

use tower_service::Service;

use super::{Bulkhead, ResponseFuture};
use crate::Error;
use crate::oneshot::Oneshot;

/// What [`BulkheadLayer`](super::BulkheadLayer) builds.
///
/// Always ready: the readiness of the inner service is waited for with the permit, as a part of the
/// call.
#[derive(Clone, Debug)]
pub struct BulkheadService<S> {
    inner: S,
    bulkhead: Bulkhead,
}

impl<S> BulkheadService<S> {
    pub(super) const fn new(inner: S, bulkhead: Bulkhead) -> Self {
        Self { inner, bulkhead }
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

impl<S, R> Service<R> for BulkheadService<S>
where
    S: Service<R> + Clone,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, R>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let call = Oneshot::new(self.inner.clone(), request);
        match self.bulkhead.look() {
            Some(permit) => ResponseFuture::permitted(call, permit),
            None => ResponseFuture::waiting(call, self.bulkhead.acquire()),
        }
    }
}
