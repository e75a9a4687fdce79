use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::{Drain, Reached};

/// What is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(usize)]
pub enum Kind {
    /// A connection that requests come on.
    Connection,
    /// A request.
    Request,
    /// A socket that lasts, such as a WebSocket.
    Socket,
    /// Anything else.
    Task,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Connection, Self::Request, Self::Socket, Self::Task];

    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Request => "request",
            Self::Socket => "socket",
            Self::Task => "task",
        }
    }
}

/// Something is under way until this is dropped; made by [`Drain::hold`].
#[derive(Debug)]
#[must_use = "what it stands for has ended when it is dropped"]
pub struct Guard {
    drain: Drain,
    kind: Kind,
}

impl Guard {
    pub(super) const fn new(drain: Drain, kind: Kind) -> Self {
        Self { drain, kind }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.drain.ended(self.kind);
    }
}

/// It was under way for too long while the process went down, and was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("the process goes down, and there was no more time for this")]
pub struct Cut;

pin_project! {
    /// What [`Drain::track`] returns: the future's output, or [`Cut`].
    ///
    /// Dropping it drops the future, and nothing is under way any more.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Tracked<F> {
        // Dropped before the guard, so that nothing of it is left when it counts as ended.
        #[pin]
        future: Option<F>,
        #[pin]
        aborted: Reached,
        guard: Option<Guard>,
    }
}

impl<F> Tracked<F> {
    pub(super) const fn new(future: F, guard: Guard, aborted: Reached) -> Self {
        Self {
            future: Some(future),
            aborted,
            guard: Some(guard),
        }
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = Result<F::Output, Cut>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let future = this
            .future
            .as_mut()
            .as_pin_mut()
            .expect("not polled after it was done");
        let output = match future.poll(cx) {
            Poll::Ready(output) => Ok(output),
            Poll::Pending => {
                std::task::ready!(this.aborted.poll(cx));
                Err(Cut)
            }
        };
        // Also if this is kept for longer than it is used.
        this.future.set(None);
        *this.guard = None;
        Poll::Ready(output)
    }
}

impl<F> fmt::Debug for Tracked<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracked")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}
