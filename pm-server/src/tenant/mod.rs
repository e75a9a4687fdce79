//! Tenants: each one's log, the one task that writes it, and where its events come out.
//!
//! The [`Registry`] opens tenants when somebody asks for them and closes them when nobody does. A
//! [`Storage`] knows where their logs are: [`Files`] on disk, [`MemoryStorage`] in tests.

mod error;
mod files;
mod guarded;
mod memory;
mod name;
mod registry;
mod storage;

use std::sync::Arc;

use pm_core::Clock;
use tokio::{sync::Mutex, task::JoinHandle};

use self::guarded::Guarded;
pub use self::{
    error::RegistryError,
    files::Files,
    memory::MemoryStorage,
    name::{InvalidName, TenantName},
    registry::{Registry, RegistryLimits},
    storage::Storage,
};
use crate::{
    store::{Log, StoreError},
    sync::{Hub, RingLimits, Writer},
};

/// An open tenant.
#[derive(Debug)]
pub struct Tenant {
    name: Box<str>,
    guarded: Arc<Guarded>,
    log: Arc<dyn Log>,
    hub: Hub,
    writer: Writer,
    /// The writer's task, until it was waited for.
    writing: Mutex<Option<JoinHandle<()>>>,
}

impl Tenant {
    /// Opens a tenant on its log. **Spawns its writer.**
    ///
    /// # Errors
    ///
    /// The log cannot say where it stands.
    pub async fn open(
        name: &str,
        log: Arc<dyn Log>,
        ring: RingLimits,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let guarded = Arc::new(Guarded::new(name, log, &clock));
        let log: Arc<dyn Log> = guarded.clone();
        let hub = Hub::new(log.head().await?, ring);
        let (writer, writing) = Writer::spawn(name, log.clone(), hub.clone());
        Ok(Self {
            name: name.into(),
            guarded,
            log,
            hub,
            writer,
            writing: Mutex::new(Some(writing)),
        })
    }

    /// Ends it in order: no more mutations are taken, those that were are answered, and then the
    /// log is closed. Whoever still uses it gets errors.
    ///
    /// # Errors
    ///
    /// The log could not be closed in order. What was answered is durable nevertheless.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.writer.close();
        let mut writing = self.writing.lock().await;
        if let Some(task) = writing.as_mut() {
            // An error means that the writer panicked, which the log outlives.
            let _ = task.await;
        }
        *writing = None;
        drop(writing);
        self.log.close().await
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its storage was found damaged since it was opened.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.guarded.is_damaged()
    }

    /// Its change log. No call takes longer than 15 seconds, and one that keeps failing is not made for
    /// a while.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// Where its events come out.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The way to its writer.
    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.writer
    }
}
