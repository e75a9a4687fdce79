use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;
use tracing::Span;

use super::{Scope, X_REQUEST_ID};

pin_project! {
    /// The response future of [`ContextService`](super::ContextService).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: Scope<F>,
        span: Span,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) const fn new(inner: Scope<F>, span: Span) -> Self {
        Self { inner, span }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let _entered = this.span.enter();
        let mut response = ready!(this.inner.as_mut().poll(cx))?;
        if let Some(context) = this.inner.context() {
            response
                .headers_mut()
                .insert(X_REQUEST_ID, context.request_id().to_header_value());
        }
        Poll::Ready(Ok(response))
    }
}
