use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Request;
use pin_project_lite::pin_project;
use pm_core::Clock;
use tower_layer::Layer;
use tower_service::Service;

use super::{Deadline, header};
use crate::oneshot::Oneshot;
use crate::telemetry::DeadlineMetrics;
use crate::timeout::Timed;
use crate::{ByMethod, ClassOf, Error, Pattern, Reason, Rejection};

/// Holds each outgoing request to the [`Deadline`] that it is under: it is not made if that has
/// passed, is told how much is left in the [header](super#headers), and is dropped when nothing is.
///
/// A request under no deadline passes through. Nothing is given back when the head of the response
/// is there; its body is not cut off.
#[derive(Clone, Debug)]
pub struct OutgoingDeadlineLayer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    clock: Clock,
    metrics: DeadlineMetrics,
}

impl OutgoingDeadlineLayer {
    /// A layer that has this name in rejections and metrics.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self::build(name.into(), Clock::system())
    }

    /// By another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self::build(Arc::clone(&self.0.name), clock)
    }

    fn build(name: Arc<str>, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            metrics: DeadlineMetrics::new(&name),
            name,
            clock,
        }))
    }
}

impl<S> Layer<S> for OutgoingDeadlineLayer {
    type Service = OutgoingDeadline<S>;

    fn layer(&self, inner: S) -> OutgoingDeadline<S> {
        OutgoingDeadline {
            inner,
            shared: Arc::clone(&self.0),
        }
    }
}

/// What [`OutgoingDeadlineLayer`] builds. It is always ready: that the inner service is not is part
/// of the call.
#[derive(Clone, Debug)]
pub struct OutgoingDeadline<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, B> Service<Request<B>> for OutgoingDeadline<S>
where
    S: Service<Request<B>> + Clone,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Shared {
            name,
            clock,
            metrics,
        } = &*self.shared;
        let Some(deadline) = Deadline::of(request.extensions()) else {
            let inner = Oneshot::new(self.inner.clone(), request);
            return ResponseFuture::new(State::Free { inner });
        };
        let remaining = deadline.remaining(clock.now());
        if remaining.is_zero() {
            let rejection =
                Rejection::new(Arc::clone(name), Pattern::Deadline, Reason::DeadlinePassed);
            metrics.rejected();
            return ResponseFuture::new(State::Rejected {
                rejection: Some(rejection),
            });
        }
        header::write(request.headers_mut(), remaining);
        let class = ByMethod.class_of(&request);
        let attempt = Oneshot::new(self.inner.clone(), request);
        ResponseFuture::new(State::Bound {
            inner: Timed::until(attempt, class, remaining, deadline.moment(), clock.clone()),
            shared: Arc::clone(&self.shared),
        })
    }
}

pin_project! {
    /// A request under its caller's deadline. Dropping it drops the inner service's future.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        Free { #[pin] inner: Oneshot<S, Request<B>> },
        Bound { #[pin] inner: Timed<Oneshot<S, Request<B>>>, shared: Arc<Shared> },
        Rejected { rejection: Option<Rejection> },
    }
}

impl<S: Service<Request<B>>, B> ResponseFuture<S, B> {
    const fn new(state: State<S, B>) -> Self {
        Self { state }
    }
}

impl<S: Service<Request<B>>, B> Future for ResponseFuture<S, B> {
    type Output = Result<S::Response, Error<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Free { inner } => inner.poll(cx).map_err(Error::Inner),
            StateProj::Bound { inner, shared } => match ready!(inner.poll(cx)) {
                Ok(result) => Poll::Ready(result.map_err(Error::Inner)),
                Err(timed_out) => {
                    shared.metrics.cut();
                    Poll::Ready(Err(timed_out.into()))
                }
            },
            StateProj::Rejected { rejection } => {
                let rejection = rejection.take().expect("not polled after it was done");
                Poll::Ready(Err(rejection.into()))
            }
        }
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for ResponseFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
