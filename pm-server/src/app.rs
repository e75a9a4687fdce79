//! What every part of a running server shares.

use std::sync::Arc;

use pm_core::{Clock, reload::InvalidSetting};
use pm_resilience::{
    health::Health,
    shutdown::{Drain, Shutdown},
};

use crate::{
    auth::Keys,
    guard::Guard,
    health,
    tenant::{Registry, RegistryError, Tenant, TenantName},
};

/// What every part of a running server shares. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    pub(crate) clock: Clock,
    pub(crate) drain: Drain,
    pub(crate) guard: Guard,
    pub(crate) health: Health,
    pub(crate) keys: Arc<Keys>,
    pub(crate) registry: Registry,
}

impl App {
    /// A server that goes down with `shutdown`, which closes its tenants at the end, and lets its guard
    /// write down what it has not yet.
    ///
    /// # Errors
    ///
    /// If other hooks have all the time that there is for closing.
    pub fn new(
        registry: Registry,
        keys: Arc<Keys>,
        guard: Guard,
        clock: Clock,
        shutdown: &mut Shutdown,
    ) -> Result<Self, InvalidSetting> {
        let drain = shutdown.drain();
        let close = drain.settings().close;
        let flush = close / 5;
        let (closing, flushing) = (registry.clone(), guard.clone());
        let close_all = async move { closing.close().await };
        shutdown.hook("tenants", close.saturating_sub(flush), close_all)?;
        shutdown.hook("guard", flush, async move { flushing.flush().await })?;
        Ok(Self {
            health: health::of(&registry, &drain, &clock),
            clock,
            drain,
            guard,
            keys,
            registry,
        })
    }

    /// How far the server is on its way down.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        &self.drain
    }

    /// Who is kept out, and who was refused.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Whether the server works, and takes requests.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Its tenants.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The tenant of this name, as a token has it.
    pub(crate) async fn tenant(&self, name: &str) -> Result<Arc<Tenant>, RegistryError> {
        match name.parse::<TenantName>() {
            Ok(name) => self.registry.get(&name).await,
            // Signed by an older server, or by hand: no tenant can have this name.
            Err(_) => Err(RegistryError::Unknown(name.to_owned())),
        }
    }
}
