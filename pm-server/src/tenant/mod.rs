//! One tenant: its log, the one task that writes it, and where its events come out.

use std::sync::Arc;

use crate::{
    store::{Log, StoreError},
    sync::{Hub, RingLimits, Writer},
};

/// An open tenant.
#[derive(Debug)]
pub struct Tenant {
    name: Box<str>,
    log: Arc<dyn Log>,
    hub: Hub,
    writer: Writer,
}

impl Tenant {
    /// Opens a tenant on its log. **Spawns its writer.**
    ///
    /// # Errors
    ///
    /// The log cannot say where it stands.
    pub async fn open(name: &str, log: Arc<dyn Log>, ring: RingLimits) -> Result<Self, StoreError> {
        let hub = Hub::new(log.head().await?, ring);
        let (writer, _task) = Writer::spawn(log.clone(), hub.clone());
        Ok(Self {
            name: name.into(),
            log,
            hub,
            writer,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its change log.
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
