use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use pm_core::StaleSource;
use pm_core::stale::{Aged, Stale};

use super::Read;
use crate::fallback;
use crate::timeout::Timed;
use crate::{Class, Classify, Error};

/// An answer that may be an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Served<T> {
    /// It was just read.
    Fresh(T),
    /// It was right a while ago. Whoever shows it should say so.
    Stale(Aged<T>),
}

impl<T> Served<T> {
    /// The answer, whatever its age.
    pub fn into_value(self) -> T {
        match self {
            Self::Fresh(value) => value,
            Self::Stale(aged) => aged.value,
        }
    }

    /// How old it is, if it is not fresh.
    pub const fn age(&self) -> Option<Duration> {
        match self {
            Self::Fresh(_) => None,
            Self::Stale(aged) => Some(aged.age),
        }
    }
}

pin_project! {
    /// What [`Read::or_stale`] returns: an answer with its age, or the error of the call.
    #[must_use = "futures do nothing unless awaited"]
    pub struct OrStale<'p, 's, C, M, F: Future, S: ?Sized, K: ?Sized, T, E> {
        #[pin]
        read: Read<'p, C, M, F>,
        source: &'s S,
        key: &'s K,
        max_age: Duration,
        #[pin]
        asking: Option<Asking<'s, T, E>>,
    }
}

pin_project! {
    /// A call without an answer, and what is asked instead.
    #[project = AskingProj]
    struct Asking<'s, T, E> {
        error: Option<Error<E>>,
        #[pin]
        stale: Timed<Stale<'s, T>>,
        _permit: fallback::Permit,
    }
}

impl<'p, 's, C, M, F: Future, S: ?Sized, K: ?Sized, T, E> OrStale<'p, 's, C, M, F, S, K, T, E> {
    pub(super) const fn new(
        read: Read<'p, C, M, F>,
        source: &'s S,
        key: &'s K,
        max_age: Duration,
    ) -> Self {
        Self {
            read,
            source,
            key,
            max_age,
            asking: None,
        }
    }
}

impl<'s, C, M, F, S, K, T, E> Future for OrStale<'_, 's, C, M, F, S, K, T, E>
where
    C: Classify<T, E>,
    M: FnMut() -> F,
    F: Future<Output = Result<T, E>>,
    S: StaleSource<K, T> + ?Sized,
    K: ?Sized,
{
    type Output = Result<Served<T>, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.asking.is_none() {
            let error = match ready!(this.read.as_mut().poll(cx)) {
                Ok(value) => return Poll::Ready(Ok(Served::Fresh(value))),
                Err(error) => error,
            };
            let parts = this.read.parts();
            let failed = match &error {
                Error::Rejected(_) | Error::TimedOut(_) => true,
                Error::Inner(error) => parts.classify.classify(Err(error)).is_failure(),
            };
            let permit = failed.then(|| parts.fallback.try_acquire()).flatten();
            let Some(permit) = permit else {
                return Poll::Ready(Err(error));
            };
            let (source, key): (&'s S, &'s K) = (this.source, this.key);
            let full = parts.timeout.of(Class::Read);
            let deadline = this.read.deadline();
            let left = deadline.map(|deadline| deadline.remaining(parts.clock.now()));
            let after = left.map_or(full, |left| left.min(full));
            let stale = source.stale(key, *this.max_age);
            this.asking.set(Some(Asking {
                error: Some(error),
                stale: Timed::new(stale, Class::Read, after, parts.clock.clone()),
                _permit: permit,
            }));
        }
        let AskingProj { error, stale, .. } = this
            .asking
            .as_mut()
            .as_pin_mut()
            .expect("set above")
            .project();
        // A source that takes too long has nothing.
        let aged = ready!(stale.poll(cx)).ok().flatten();
        let error = error.take().expect("not polled after it was done");
        this.asking.set(None);
        Poll::Ready(aged.map(Served::Stale).ok_or(error))
    }
}

impl<C, M, F: Future, S: ?Sized, K: ?Sized, T, E> fmt::Debug
    for OrStale<'_, '_, C, M, F, S, K, T, E>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrStale")
            .field("read", &self.read)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}
