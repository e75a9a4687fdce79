use std::{error::Error as StdError, time::Duration};

use pm_resilience::{Error, Rejection};

/// When to ask again what did not answer.
const RETRY: Duration = Duration::from_secs(2);

/// Why a log could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached, is full or is locked; the same call may succeed later.
    #[error("the tenant's storage does not answer")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
    /// It was not asked, since it has not answered lately. Nothing happened.
    #[error("the tenant's storage does not answer, and is left alone for a while")]
    NotAsked(#[source] Rejection),
    /// What is stored is not what was written.
    #[error("the tenant's storage is damaged: {what}")]
    Corrupt {
        /// What was found wrong.
        what: String,
        /// The storage's own words.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// A rule of the storage itself said no; the mutation that caused it fails alone.
    #[error("the tenant's storage refused a row")]
    Constraint(#[source] Box<dyn StdError + Send + Sync>),
}

impl StoreError {
    /// When asking again may help; `None` if it will not.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable(_) => Some(RETRY),
            Self::NotAsked(rejection) => Some(rejection.retry_after().unwrap_or(RETRY)),
            Self::Corrupt { .. } | Self::Constraint(_) => None,
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt {
            what: what.into(),
            source: None,
        }
    }
}

/// A call that took too long is like one whose answer was lost.
impl From<Error<StoreError>> for StoreError {
    fn from(error: Error<StoreError>) -> Self {
        match error {
            Error::Inner(error) => error,
            Error::Rejected(rejection) => Self::NotAsked(rejection),
            other => Self::Unavailable(Box::new(other)),
        }
    }
}
