use std::{sync::Arc, time::Duration};

use super::TenantName;
use crate::store::StoreError;

/// When there may be room again, or another server.
const SOON: Duration = Duration::from_secs(2);

/// Why a tenant cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// As many as may be open are in use.
    #[error("all {max_open} tenants that may be open at a time are in use")]
    Busy {
        /// The limit.
        max_open: usize,
    },
    /// The server is going down.
    #[error("the server is going down")]
    Closing,
    /// Its storage is damaged. It is not touched for a while; the other tenants are not affected.
    #[error("the storage of tenant {name} is damaged and was set aside")]
    Quarantined {
        /// Which one.
        name: TenantName,
        /// When it will be tried again.
        retry_after: Duration,
        /// What was found.
        source: Arc<StoreError>,
    },
    /// Its storage does not answer.
    #[error("the storage of tenant {name} does not answer")]
    Unavailable {
        /// Which one.
        name: TenantName,
        /// What it said.
        source: StoreError,
    },
    /// There is no such tenant.
    #[error("there is no tenant {0:?}")]
    Unknown(String),
}

impl RegistryError {
    /// When asking again may help; `None` if it will not.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { .. } | Self::Closing => Some(SOON),
            Self::Unavailable { source, .. } => source.retry_after().or(Some(SOON)),
            Self::Quarantined { retry_after, .. } => Some(*retry_after),
            Self::Unknown(_) => None,
        }
    }
}
