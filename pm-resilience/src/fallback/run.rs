use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::sync::OwnedSemaphorePermit;

use super::Fallback;

pin_project! {
    /// What [`Fallback::run`] returns: the answer of the one or of the other.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Run<F, A, G> {
        fallback: Fallback,
        #[pin]
        state: State<F, A, G>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, A, G> {
        Primary {
            #[pin]
            inner: F,
            // Only gone when the state is left.
            alternative: Option<A>,
        },
        Alternative {
            #[pin]
            inner: G,
            permit: Option<OwnedSemaphorePermit>,
        },
    }
}

impl<F, A, G> Run<F, A, G> {
    pub(super) const fn new(fallback: Fallback, primary: F, alternative: A) -> Self {
        Self {
            fallback,
            state: State::Primary {
                inner: primary,
                alternative: Some(alternative),
            },
        }
    }
}

impl<F, A, G, T, E> Future for Run<F, A, G>
where
    F: Future<Output = Result<T, E>>,
    A: FnOnce(E) -> G,
    G: Future<Output = Result<T, E>>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Primary { inner, alternative } => match ready!(inner.poll(cx)) {
                    Ok(answer) => return Poll::Ready(Ok(answer)),
                    Err(error) => {
                        let Some(permit) = this.fallback.try_acquire() else {
                            return Poll::Ready(Err(error));
                        };
                        let alternative = alternative.take();
                        let make = alternative.expect("taken once, and the state is left");
                        State::Alternative {
                            inner: make(error),
                            permit: Some(permit),
                        }
                    }
                },
                StateProj::Alternative { inner, permit } => {
                    let result = ready!(inner.poll(cx));
                    // The future may be kept for longer than it is used.
                    *permit = None;
                    return Poll::Ready(result);
                }
            };
            this.state.set(next);
        }
    }
}

impl<F, A, G> fmt::Debug for Run<F, A, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("fallback", &self.fallback)
            .finish_non_exhaustive()
    }
}
