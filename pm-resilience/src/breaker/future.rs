use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::Permit;
use crate::{Classify, Error, Rejection};

pin_project! {
    /// The response future of [`BreakerService`](super::BreakerService).
    ///
    /// Its permit is given back when the answer is there, not when that is dropped. Dropped before,
    /// it drops the inner future first and its permit then, which says what a dropped
    /// [`Permit`] says.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<S, Req, C>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, Req, S::Future>,
        // Behind the state, because fields are dropped in this order.
        guard: Option<(Permit, C)>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req, F> {
        // The request is only taken when the service is ready.
        Readying { service: S, request: Option<Req> },
        Calling { #[pin] inner: F },
        Rejected { rejection: Option<Rejection> },
    }
}

impl<S, Req, C> ResponseFuture<S, Req, C>
where
    S: Service<Req>,
{
    pub(super) fn admitted((service, request): (S, Req), permit: Permit, classify: C) -> Self {
        let request = Some(request);
        Self {
            state: State::Readying { service, request },
            guard: Some((permit, classify)),
        }
    }

    pub(super) fn rejected(rejection: Rejection) -> Self {
        let rejection = Some(rejection);
        Self {
            state: State::Rejected { rejection },
            guard: None,
        }
    }
}

impl<S, Req, C> Future for ResponseFuture<S, Req, C>
where
    S: Service<Req>,
    C: Classify<S::Response, S::Error>,
{
    type Output = Result<S::Response, Error<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let polled = loop {
            match this.state.as_mut().project() {
                StateProj::Readying { service, request } => match service.poll_ready(cx) {
                    Poll::Ready(Ok(())) => {
                        let request = request.take().expect("not polled after it was done");
                        let inner = service.call(request);
                        this.state.set(State::Calling { inner });
                    }
                    Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                    Poll::Pending => break Poll::Pending,
                },
                StateProj::Calling { inner } => break inner.poll(cx),
                StateProj::Rejected { rejection } => {
                    let rejection = rejection.take().expect("not polled after it was done");
                    return Poll::Ready(Err(Error::Rejected(rejection)));
                }
            }
        };
        match polled {
            Poll::Ready(result) => {
                let (permit, classify) = this.guard.take().expect("not polled after it was done");
                permit.settle(classify.classify(result.as_ref()));
                Poll::Ready(result.map_err(Error::Inner))
            }
            Poll::Pending => {
                if let Some((permit, _)) = this.guard {
                    permit.waiting();
                }
                Poll::Pending
            }
        }
    }
}

impl<S, Req, C> fmt::Debug for ResponseFuture<S, Req, C>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
