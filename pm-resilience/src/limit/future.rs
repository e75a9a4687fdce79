use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::Permit;
use crate::oneshot::Oneshot;
use crate::{Classify, Error, Rejection};

pin_project! {
    /// A call with a permit, or the rejection of one without. Nothing is allocated. Dropping it drops
    /// the call and frees the permit, which [says](Permit) what a dropped one says.
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
        Done,
    }
}

impl<S, Req, C> ResponseFuture<S, Req, C>
where
    S: Service<Req>,
{
    pub(super) fn permitted(call: Oneshot<S, Req>, permit: Permit, classify: C) -> Self {
        Self {
            state: State::Calling { call },
            guard: Some((permit, classify)),
        }
    }

    pub(super) fn rejected(rejection: Rejection) -> Self {
        Self {
            state: State::Rejected {
                rejection: Some(rejection),
            },
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
        let result = match this.state.as_mut().project() {
            StateProj::Calling { call } => ready!(call.poll(cx)),
            StateProj::Rejected { rejection } => {
                let rejection = rejection.take().expect("not polled after it was done");
                return Poll::Ready(Err(rejection.into()));
            }
            StateProj::Done => panic!("polled after it was done"),
        };
        // Also if this future is kept for longer than it is used.
        this.state.set(State::Done);
        if let Some((permit, classify)) = this.guard.take() {
            permit.settle(classify.classify(result.as_ref()));
        }
        Poll::Ready(result.map_err(Error::Inner))
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
