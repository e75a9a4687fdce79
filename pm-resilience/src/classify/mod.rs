//! What the result of a call says about what was called.
//!
//! A result comes as references, `Result<&T, &E>`, so that whoever holds only a part of it can ask,
//! too. Stock classifiers: [`Errors`], [`errors`] by a function, [`Http`], [`Grpc`], and [`Guarded`] for calls that are
//! guarded already. A response whose head is fine may still fail in its body: [`Watched`] is a body
//! that tells.

mod by_error;
mod grpc;
mod http;
mod watched;

use std::time::Duration;

pub use self::by_error::{ByError, errors};
pub use self::grpc::Grpc;
pub use self::http::Http;
pub use self::watched::{ClassifyStream, Settle, Watched};

use crate::Error;

/// What a result says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It works.
    Success,
    /// It does not, and to ask again would not help: a failure for a breaker, nothing for a retry.
    Failure,
    /// It does not, and may if asked again: a failure for a breaker, too.
    Retryable {
        /// How long it asked to be left alone, if it did: zero if it did not say for how long.
        after: Option<Duration>,
    },
    /// It says nothing about whether it works, such as a bad request.
    Ignored,
}

impl Outcome {
    /// It may work if asked again, at any time.
    #[must_use]
    pub const fn retryable() -> Self {
        Self::Retryable { after: None }
    }

    /// Whether it counts as a failure.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Failure | Self::Retryable { .. })
    }
}

/// Tells what a result says. Implemented for functions `Fn(Result<&T, &E>) -> Outcome`.
pub trait Classify<T, E> {
    /// What this result says.
    fn classify(&self, result: Result<&T, &E>) -> Outcome;

    /// Whether it says that what was called gave up because its time was over. A call that was told
    /// to be quicker than calls have to be, and ends like this, is nobody's failure. Never, if it is
    /// not said.
    fn is_timeout(&self, result: Result<&T, &E>) -> bool {
        let _ = result;
        false
    }
}

impl<T, E, F> Classify<T, E> for F
where
    F: Fn(Result<&T, &E>) -> Outcome,
{
    fn classify(&self, result: Result<&T, &E>) -> Outcome {
        self(result)
    }
}

/// Every `Ok` is a success and every `Err` is retryable: for calls whose errors all mean that what
/// was called does not work. If some mean something else, such as that there is no such thing, say so
/// with [`errors`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Errors;

impl<T, E> Classify<T, E> for Errors {
    fn classify(&self, result: Result<&T, &E>) -> Outcome {
        match result {
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::retryable(),
        }
    }
}

/// For calls that are guarded already and end with an [`Error`]: a rejection says nothing about
/// what would have been called, and is not to be retried; a time-out is retryable; everything else
/// is what `C` says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guarded<C>(pub C);

impl<T, E, C: Classify<T, E>> Classify<T, Error<E>> for Guarded<C> {
    fn classify(&self, result: Result<&T, &Error<E>>) -> Outcome {
        match result {
            Ok(answer) => self.0.classify(Ok(answer)),
            Err(Error::Inner(error)) => self.0.classify(Err(error)),
            Err(Error::TimedOut(_)) => Outcome::retryable(),
            Err(Error::Rejected(_)) => Outcome::Ignored,
        }
    }

    fn is_timeout(&self, result: Result<&T, &Error<E>>) -> bool {
        match result {
            Ok(answer) => self.0.is_timeout(Ok(answer)),
            Err(Error::Inner(error)) => self.0.is_timeout(Err(error)),
            Err(Error::TimedOut(_)) => true,
            Err(Error::Rejected(_)) => false,
        }
    }
}
