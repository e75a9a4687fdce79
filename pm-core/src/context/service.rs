use std::task::{self, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::{Context, RequestId, ResponseFuture, TraceParent};
use crate::Clock;

/// What [`ContextLayer`](super::ContextLayer) builds.
#[derive(Clone, Debug)]
pub struct ContextService<S> {
    inner: S,
    clock: Clock,
}

impl<S> ContextService<S> {
    /// Wraps `inner`; new request ids have the time of `clock`.
    pub const fn new(inner: S, clock: Clock) -> Self {
        Self { inner, clock }
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

impl<S, B, ResBody> Service<Request<B>> for ContextService<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let request_id = RequestId::from_headers(request.headers())
            .unwrap_or_else(|| RequestId::new(&self.clock));
        let span = tracing::info_span!(
            "request",
            request_id = request_id.as_str(),
            trace_id = tracing::field::Empty
        );
        let mut context = Context::new(request_id);
        if let Some(traceparent) = TraceParent::from_headers(request.headers()) {
            span.record("trace_id", format_args!("{:032x}", traceparent.trace_id()));
            context = context.with_traceparent(traceparent);
        }
        request.extensions_mut().insert(context.clone());
        // Layers that refuse do so inside `call`, and their problems need the id too.
        let inner = span.in_scope(|| context.in_scope(|| self.inner.call(request)));
        ResponseFuture::new(context.scope(inner), span)
    }
}
