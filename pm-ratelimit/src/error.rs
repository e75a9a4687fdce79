use std::error::Error as StdError;

/// Why a store did not decide.
///
/// Nothing may be concluded from it about what was taken: the store may have decided and the
/// answer been lost. It reaches no caller; a [`Limiter`](crate::Limiter) turns it into what
/// [`OnFailure`](crate::OnFailure) says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store did not answer within its deadline.
    #[error("the rate limit store did not answer in time")]
    TimedOut,

    /// The store cannot be reached, or refuses to work.
    #[error("the rate limit store is not available")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
}

impl Error {
    /// The store cannot be reached, or refuses to work, because of `source`.
    pub fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }
}
