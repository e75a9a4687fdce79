use std::error::Error as StdError;

/// Why a log could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached, is full or is locked; the same call may succeed later.
    #[error("the tenant's storage does not answer")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),
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
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt {
            what: what.into(),
            source: None,
        }
    }
}
