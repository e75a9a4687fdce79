use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::Permit;
use crate::oneshot::Oneshot;
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
        state: State<Oneshot<S, Req>>,
        // Behind the state, because fields are dropped in this order.
        guard: Option<(Permit, C)>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Calling { #[pin] call: F },
        Rejected { rejection: Option<Rejection> },
    }
}

impl<S, Req, C> ResponseFuture<S, Req, C>
where
    S: Service<Req>,
{
    pub(super) fn admitted(call: Oneshot<S, Req>, permit: Permit, classify: C) -> Self {
        Self {
            state: State::Calling { call },
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
        let this = self.project();
        let polled = match this.state.project() {
            StateProj::Calling { call } => call.poll(cx),
            StateProj::Rejected { rejection } => {
                let rejection = rejection.take().expect("not polled after it was done");
                return Poll::Ready(Err(Error::Rejected(rejection)));
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
