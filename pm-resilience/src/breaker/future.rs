use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Breaker, Ending, Head, Permit, Until};
use crate::oneshot::Oneshot;
use crate::{Error, Rejection};

pin_project! {
    /// The response future of [`BreakerService`](super::BreakerService).
    ///
    /// Its permit is given back when the answer is there, not when that is dropped, or when
    /// [`Until`] says. Dropped before,
    /// it drops the inner future first and its permit then, which says what a dropped
    /// [`Permit`] says.
    #[must_use = "futures do nothing unless awaited"]
    pub struct ResponseFuture<S, Req, C, U = Head>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<Oneshot<S, Req>>,
        // Behind the state, because fields are dropped in this order.
        guard: Option<(Permit, C)>,
        until: PhantomData<fn() -> U>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Calling { #[pin] call: F },
        Rejected { rejection: Option<Rejection> },
    }
}

impl<S, Req, C, U> ResponseFuture<S, Req, C, U>
where
    S: Service<Req>,
{
    pub(super) fn admitted(call: Oneshot<S, Req>, permit: Permit, classify: C) -> Self {
        Self {
            state: State::Calling { call },
            guard: Some((permit, classify)),
            until: PhantomData,
        }
    }

    pub(super) fn rejected(rejection: Rejection) -> Self {
        let rejection = Some(rejection);
        Self {
            state: State::Rejected { rejection },
            guard: None,
            until: PhantomData,
        }
    }
}

impl<S, Req, C, U> Future for ResponseFuture<S, Req, C, U>
where
    S: Service<Req>,
    U: Until<C, S::Response, S::Error, Breaker>,
{
    type Output = Result<U::Response, Error<S::Error>>;

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
                let outcome = U::outcome(result.as_ref(), &classify, &permit);
                let ending = Ending::new(permit, |_, _| ());
                let result = U::end(result, outcome, &classify, ending);
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

impl<S, Req, C, U> fmt::Debug for ResponseFuture<S, Req, C, U>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
