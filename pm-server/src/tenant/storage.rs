use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;

use super::TenantName;
use crate::store::{Log, StoreError};

/// Where the logs of all tenants are kept.
///
/// The [`Registry`](super::Registry) sees to it that a tenant is not opened twice at a time.
#[async_trait]
pub trait Storage: Debug + Send + Sync + 'static {
    /// The tenants there are, in alphabetical order.
    async fn names(&self) -> Result<Vec<TenantName>, StoreError>;

    /// Makes a tenant with an empty log; whether it is new. One that is there already is left as it
    /// is.
    async fn create(&self, name: &TenantName) -> Result<bool, StoreError>;

    /// Opens the log of a tenant and brings its schema up to date; `None` if there is no such
    /// tenant. It never makes one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if what is stored cannot be used until somebody repairs it.
    async fn open(&self, name: &TenantName) -> Result<Option<Arc<dyn Log>>, StoreError>;

    /// Whether it works: something was written durably and read again, beside the tenants and as they
    /// do it. Says nothing of any one of them.
    ///
    /// # Errors
    ///
    /// What went wrong.
    async fn probe(&self) -> Result<(), StoreError>;
}
