use std::time::Duration;

use crate::{Class, Rejection};

/// How a guarded call ended that has no answer: one level, whatever guards it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E> {
    /// It was not made.
    #[error(transparent)]
    Rejected(#[from] Rejection),

    /// It took too long, and was dropped. It may have had its effect.
    #[error(transparent)]
    TimedOut(#[from] TimedOut),

    /// It failed by itself.
    #[error(transparent)]
    Inner(E),
}

/// A call that took longer than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer to a {class} within {after:?}")]
pub struct TimedOut {
    class: Class,
    after: Duration,
}

impl TimedOut {
    /// A call of this class, which had so long.
    #[must_use]
    pub const fn new(class: Class, after: Duration) -> Self {
        Self { class, after }
    }

    /// What kind of call it was.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// How long it had.
    #[must_use]
    pub const fn after(&self) -> Duration {
        self.after
    }
}

impl<E> Error<E> {
    /// The error of the call itself, if it is one.
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Inner(error) => Some(error),
            Self::Rejected(_) | Self::TimedOut(_) => None,
        }
    }

    /// How long to wait before there is reason to try again, where that is known.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected(rejection) => rejection.retry_after(),
            Self::TimedOut(_) | Self::Inner(_) => None,
        }
    }
}

impl<E> Error<Error<E>> {
    /// One level, where one guarded call was made inside another.
    pub fn flatten(self) -> Error<E> {
        match self {
            Self::Rejected(rejection) => Error::Rejected(rejection),
            Self::TimedOut(timed_out) => Error::TimedOut(timed_out),
            Self::Inner(error) => error,
        }
    }
}
