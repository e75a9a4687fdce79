use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use pm_core::Clock;
use tower_layer::Layer;
use tower_service::Service;

use super::{Deadline, Scope, header};

/// Gives each request that comes in a [`Deadline`], in its extensions and in the task.
///
/// It answers nothing and cuts nothing off: whatever is called on the way sees the deadline and
/// does. Put it outside everything that calls others.
#[derive(Clone, Debug)]
pub struct IncomingDeadlineLayer {
    longest: Duration,
    trusting: bool,
    clock: Clock,
}

impl IncomingDeadlineLayer {
    /// So long after it came in, whatever the caller says.
    #[must_use]
    pub const fn new(longest: Duration) -> Self {
        Self {
            longest,
            trusting: false,
            clock: Clock::system(),
        }
    }

    /// Or earlier, if the caller says in the [header](super#headers) that it waits for less.
    ///
    /// For callers within your system: a stranger who asks for a millisecond makes its own request
    /// fail, but also what is logged and counted about it.
    #[must_use]
    pub const fn trusting_the_caller(mut self) -> Self {
        self.trusting = true;
        self
    }

    /// By another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}

impl<S> Layer<S> for IncomingDeadlineLayer {
    type Service = IncomingDeadline<S>;

    fn layer(&self, inner: S) -> IncomingDeadline<S> {
        IncomingDeadline {
            inner,
            layer: self.clone(),
        }
    }
}

/// What [`IncomingDeadlineLayer`] builds. It is ready when the inner service is.
#[derive(Clone, Debug)]
pub struct IncomingDeadline<S> {
    inner: S,
    layer: IncomingDeadlineLayer,
}

impl<S, B> Service<Request<B>> for IncomingDeadline<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Scope<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let IncomingDeadlineLayer {
            longest,
            trusting,
            clock,
        } = &self.layer;
        let asked = trusting.then(|| header::read(request.headers())).flatten();
        let time = asked.map_or(*longest, |asked| asked.min(*longest));
        let own = Deadline::after(time, clock);
        let deadline = Deadline::of(request.extensions()).map_or(own, |outer| outer.min(own));
        request.extensions_mut().insert(deadline);
        deadline.scope(deadline.in_scope(|| self.inner.call(request)))
    }
}
