use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use pm_core::body::HeldBody;
use tower_layer::Layer;
use tower_service::Service;

use super::{Drain, Guard, Kind};

/// Counts each request of a server as under way, until the body of its response has ended. Made by
/// [`Drain::layer`].
///
/// It is ready when the inner service is, refuses nothing, and changes no error.
#[derive(Clone, Debug)]
pub struct DrainLayer(Drain);

impl DrainLayer {
    pub(super) const fn new(drain: Drain) -> Self {
        Self(drain)
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = DrainService<S>;

    fn layer(&self, inner: S) -> DrainService<S> {
        DrainService {
            inner,
            drain: self.0.clone(),
        }
    }
}

/// What [`DrainLayer`] builds.
#[derive(Clone, Debug)]
pub struct DrainService<S> {
    inner: S,
    drain: Drain,
}

impl<S, B, ResBody> Service<Request<B>> for DrainService<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Response = Response<HeldBody<ResBody, Guard>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let guard = Some(self.drain.hold(Kind::Request));
        ResponseFuture {
            inner: self.inner.call(request),
            guard,
        }
    }
}

pin_project! {
    /// A request that is under way. Dropped, it has ended.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        // Behind what it stands for, because fields are dropped in this order.
        guard: Option<Guard>,
    }
}

impl<F, ResBody, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = Result<Response<HeldBody<ResBody, Guard>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        let guard = this.guard.take();
        Poll::Ready(result.map(|response| response.map(|body| HeldBody::new(body, guard))))
    }
}
