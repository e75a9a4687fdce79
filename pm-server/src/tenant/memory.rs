use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use pm_core::Clock;

use super::{Storage, TenantName};
use crate::store::{Log, MemoryLog, StoreError};

/// Tenants in memory: for tests and simulations. Their logs outlive being closed.
#[derive(Clone, Debug)]
pub struct MemoryStorage {
    logs: Arc<Mutex<BTreeMap<TenantName, Arc<MemoryLog>>>>,
    clock: Clock,
}

impl MemoryStorage {
    /// No tenants yet; their epochs will have the time of `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            logs: Arc::default(),
            clock,
        }
    }

    fn logs(&self) -> MutexGuard<'_, BTreeMap<TenantName, Arc<MemoryLog>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn names(&self) -> Result<Vec<TenantName>, StoreError> {
        Ok(self.logs().keys().cloned().collect())
    }

    async fn create(&self, name: &TenantName) -> Result<bool, StoreError> {
        let mut made = false;
        self.logs().entry(name.clone()).or_insert_with(|| {
            made = true;
            Arc::new(MemoryLog::new(self.clock.uuid_v7().into()))
        });
        Ok(made)
    }

    async fn open(&self, name: &TenantName) -> Result<Option<Arc<dyn Log>>, StoreError> {
        let log = self.logs().get(name).cloned();
        Ok(log.map(|log| log as Arc<dyn Log>))
    }

    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
