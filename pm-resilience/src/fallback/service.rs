use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Fallback, Run};
use crate::oneshot::Oneshot;

/// What [`FallbackLayer`](super::FallbackLayer) builds.
///
/// It is always ready: that the inner service is not, or has failed, is part of the call.
#[derive(Clone)]
pub struct FallbackService<S, A> {
    inner: S,
    fallback: Fallback,
    alternative: A,
}

impl<S, A> FallbackService<S, A> {
    pub(super) const fn new(inner: S, fallback: Fallback, alternative: A) -> Self {
        Self {
            inner,
            fallback,
            alternative,
        }
    }
}

impl<S, A, G, Req> Service<Req> for FallbackService<S, A>
where
    S: Service<Req> + Clone,
    A: FnOnce(S::Error) -> G + Clone,
    G: Future<Output = Result<S::Response, S::Error>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Req, A, G>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let attempt = Oneshot::new(self.inner.clone(), request);
        ResponseFuture {
            run: self.fallback.run(attempt, self.alternative.clone()),
        }
    }
}

impl<S: fmt::Debug, A> fmt::Debug for FallbackService<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackService")
            .field("inner", &self.inner)
            .field("fallback", &self.fallback)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A request that has another answer if it fails. Dropping it drops what is under way.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<S, Req, A, G>
    where
        S: Service<Req>,
    {
        #[pin]
        run: Run<Oneshot<S, Req>, A, G>,
    }
}

impl<S, Req, A, G> Future for ResponseFuture<S, Req, A, G>
where
    S: Service<Req>,
    A: FnOnce(S::Error) -> G,
    G: Future<Output = Result<S::Response, S::Error>>,
{
    type Output = G::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().run.poll(cx)
    }
}

impl<S: Service<Req>, Req, A, G> fmt::Debug for ResponseFuture<S, Req, A, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
