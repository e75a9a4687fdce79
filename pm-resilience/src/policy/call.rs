use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use pm_core::StaleSource;

use super::OrStale;
use super::core::{Guarded, Task};
use super::hold::{Hold, Lent, Parts};
use crate::breaker::Head;
use crate::fallback::Run;
use crate::{Classify, Deadline, Error, Priority};

pin_project! {
    /// A call under a [`Policy`](super::Policy): its answer, or one flat [`Error`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Call<'p, C, M, F: Future> {
        task: Task,
        make: M,
        #[pin]
        guarded: Guarded<Lent<'p, C>, F>,
    }
}

impl<'p, C, M, F: Future> Call<'p, C, M, F> {
    pub(super) const fn new(parts: &'p Parts<C>, task: Task, make: M) -> Self {
        Self {
            task,
            make,
            guarded: Guarded::new(Lent(parts), None),
        }
    }

    /// It may be repeated: twice is the same as once.
    pub const fn idempotent(mut self) -> Self {
        self.task.repeatable = true;
        self
    }

    /// How much it matters, where the policy [sheds](super::PolicyBuilder::shed). Without it, it is
    /// [`Normal`](Priority::Normal).
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.task.priority = priority;
        self
    }

    /// Another answer, where this one ends with an error: whatever `alternative` makes of it, or the
    /// error again. So many may be in there at the same time as
    /// [`fallback`](super::PolicyBuilder::fallback) says; others have their error.
    pub fn or_else<A, G, T, E>(self, alternative: A) -> Run<Self, A, G>
    where
        Self: Future<Output = Result<T, Error<E>>>,
        A: FnOnce(Error<E>) -> G,
        G: Future<Output = Result<T, Error<E>>>,
    {
        let fallback = self.guarded.hold().parts().fallback.clone();
        fallback.run(self, alternative)
    }
}

impl<C, M, F, T, E> Future for Call<'_, C, M, F>
where
    C: Classify<T, E>,
    M: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.guarded.poll::<Head>(cx, *this.task, |_| (this.make)())
    }
}

impl<C, M, F: Future> fmt::Debug for Call<'_, C, M, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("policy", &self.guarded.hold().parts().name)
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// A [`Call`] that reads: it may be repeated, and stale data may do.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Read<'p, C, M, F: Future> {
        #[pin]
        call: Call<'p, C, M, F>,
    }
}

impl<'p, C, M, F: Future> Read<'p, C, M, F> {
    pub(super) const fn new(call: Call<'p, C, M, F>) -> Self {
        Self { call }
    }

    /// As [`Call::priority`].
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.call.task.priority = priority;
        self
    }

    /// As [`Call::or_else`].
    pub fn or_else<A, G, T, E>(self, alternative: A) -> Run<Self, A, G>
    where
        Self: Future<Output = Result<T, Error<E>>>,
        A: FnOnce(Error<E>) -> G,
        G: Future<Output = Result<T, Error<E>>>,
    {
        let fallback = self.parts().fallback.clone();
        fallback.run(self, alternative)
    }

    /// What `source` still has for `key`, if that is not older than `max_age`, where there is no
    /// answer: the call was rejected, took too long, or failed. An error that is not a failure, such
    /// as that there is no such thing, stays what it is.
    ///
    /// The source has the time of a read, or what the deadline leaves of it, which may be none: then it
    /// has to know at once.
    ///
    /// So many may ask the source at the same time as
    /// [`fallback`](super::PolicyBuilder::fallback) says; their permit is freed when it
    /// has answered, or its time is up. Costs an allocation where it is asked, and nothing else does.
    pub const fn or_stale<'s, S, K, T, E>(
        self,
        source: &'s S,
        key: &'s K,
        max_age: Duration,
    ) -> OrStale<'p, 's, C, M, F, S, K, T, E>
    where
        F: Future<Output = Result<T, E>>,
        S: StaleSource<K, T> + ?Sized,
        K: ?Sized,
    {
        OrStale::new(self, source, key, max_age)
    }

    pub(super) const fn parts(&self) -> &'p Parts<C> {
        self.call.guarded.hold().0
    }

    pub(super) const fn deadline(&self) -> Option<Deadline> {
        self.call.guarded.deadline()
    }
}

impl<C, M, F, T, E> Future for Read<'_, C, M, F>
where
    C: Classify<T, E>,
    M: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().call.poll(cx)
    }
}

impl<C, M, F: Future> fmt::Debug for Read<'_, C, M, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.call.fmt(f)
    }
}
