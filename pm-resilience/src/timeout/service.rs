use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Run, Timeout};
use crate::oneshot::Oneshot;
use crate::{ClassOf, Error};

/// What [`TimeoutLayer`](super::TimeoutLayer) builds.
///
/// It is always ready: that the inner service is not is part of the call, and of its time.
#[derive(Clone, Debug)]
pub struct TimeoutService<S, K> {
    inner: S,
    timeout: Timeout,
    class_of: K,
}

impl<S, K> TimeoutService<S, K> {
    pub(super) const fn new(inner: S, timeout: Timeout, class_of: K) -> Self {
        Self {
            inner,
            timeout,
            class_of,
        }
    }
}

impl<S, K, Req> Service<Req> for TimeoutService<S, K>
where
    S: Service<Req> + Clone,
    K: ClassOf<Req>,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, Req>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let class = self.class_of.class_of(&request);
        let attempt = Oneshot::new(self.inner.clone(), request);
        ResponseFuture {
            run: self.timeout.run(class, attempt),
        }
    }
}

pin_project! {
    /// A request that has a time limit. Dropping it drops the inner service's future.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<S, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        run: Run<Oneshot<S, Req>>,
    }
}

impl<S: Service<Req>, Req> Future for ResponseFuture<S, Req> {
    type Output = Result<S::Response, Error<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().run.poll(cx)
    }
}

impl<S: Service<Req>, Req> fmt::Debug for ResponseFuture<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
