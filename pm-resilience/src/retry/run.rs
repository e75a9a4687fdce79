use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use pm_core::clock::Sleep;

use super::Retry;
use crate::{Classify, Deadline};

pin_project! {
    /// What [`Retry::run`] returns: the result of the last attempt.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Run<M, F, C> {
        retry: Retry,
        classify: C,
        make: M,
        attempt: u32,
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Begun,
        Calling { #[pin] inner: F },
        Waiting { #[pin] sleep: Sleep },
    }
}

impl<M, F, C> Run<M, F, C> {
    pub(super) const fn new(retry: Retry, classify: C, make: M) -> Self {
        Self {
            retry,
            classify,
            make,
            attempt: 0,
            state: State::Begun,
        }
    }
}

impl<M, F, C, T, E> Future for Run<M, F, C>
where
    M: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Begun => this.retry.begin(),
                StateProj::Waiting { sleep } => ready!(sleep.poll(cx)),
                StateProj::Calling { inner } => {
                    let result = ready!(inner.poll(cx));
                    let outcome = this.classify.classify(result.as_ref());
                    let deadline = Deadline::current();
                    let Ok(again) = this.retry.decide(*this.attempt, outcome, deadline) else {
                        return Poll::Ready(result);
                    };
                    let sleep = this.retry.clock().sleep_until(again);
                    this.state.set(State::Waiting { sleep });
                    continue;
                }
            }
            *this.attempt += 1;
            let inner = (this.make)();
            this.state.set(State::Calling { inner });
        }
    }
}

impl<M, F, C> fmt::Debug for Run<M, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("retry", &self.retry.name())
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
