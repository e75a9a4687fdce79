use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use super::{Outcome, Switch};
use crate::Clock;

impl Switch {
    /// Asks the primary through `call`, for at most `deadline`.
    ///
    /// While it is down `call` is not polled and [`CallError::Down`] is returned without waiting.
    /// An error of the call is reported as what `meaning` says of it. Cancel-safe as far as `call`
    /// is: a future that is dropped is counted as abandoned.
    ///
    /// # Errors
    ///
    /// If the primary was not asked, did not answer in time, or failed.
    ///
    /// # Panics
    ///
    /// With the system clock, outside a tokio runtime with its timer on.
    pub async fn call<T, E>(
        &self,
        clock: &Clock,
        deadline: Duration,
        call: impl Future<Output = Result<T, E>>,
        meaning: impl FnOnce(&E) -> Outcome,
    ) -> Result<T, CallError<E>> {
        let ticket = self.begin().ok_or(CallError::Down)?;
        let (outcome, result) = match clock.within(deadline, call).await {
            Ok(Ok(answer)) => (Outcome::Answered, Ok(answer)),
            Ok(Err(error)) => (meaning(&error), Err(CallError::Failed(error))),
            Err(_) => (Outcome::TimedOut, Err(CallError::TimedOut)),
        };
        ticket.settle(outcome);
        result
    }
}

/// Why [`Switch::call`] has no answer of the primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError<E> {
    /// The primary is down and was not asked.
    Down,
    /// The primary failed.
    Failed(E),
    /// The primary did not answer within the deadline; it may have acted.
    TimedOut,
}

impl<E> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Down => "the primary is down and was not asked",
            Self::Failed(_) => "the primary failed",
            Self::TimedOut => "the primary did not answer in time",
        })
    }
}

impl<E: StdError + 'static> StdError for CallError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Down | Self::TimedOut => None,
        }
    }
}
