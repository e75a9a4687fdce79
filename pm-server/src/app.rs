//! What every part of a running server shares.

use std::sync::Arc;

use pm_core::{Clock, Identity, reload::InvalidSetting};
use pm_resilience::{
    health::Health,
    shutdown::{Drain, Shutdown},
};

use crate::{
    auth::Keys,
    health,
    tenant::{Registry, RegistryError, Tenant, TenantName},
};

/// What every part of a running server shares. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    pub(crate) clock: Clock,
    pub(crate) drain: Drain,
    pub(crate) health: Health,
    pub(crate) keys: Arc<Keys>,
    pub(crate) registry: Registry,
}

impl App {
    /// A server that goes down with `shutdown`, which closes its tenants at the end.
    ///
    /// # Errors
    ///
    /// If other hooks have all the time that there is for closing.
    pub fn new(
        registry: Registry,
        keys: Arc<Keys>,
        clock: Clock,
        shutdown: &mut Shutdown,
    ) -> Result<Self, InvalidSetting> {
        let drain = shutdown.drain();
        let closing = registry.clone();
        let close = async move { closing.close().await };
        shutdown.hook("tenants", drain.settings().close, close)?;
        Ok(Self {
            health: health::of(&registry, &drain, &clock),
            clock,
            drain,
            keys,
            registry,
        })
    }

    /// How far the server is on its way down.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        &self.drain
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

    /// The tenant that `identity` acts in.
    pub(crate) async fn tenant_of(
        &self,
        identity: &Identity,
    ) -> Result<Arc<Tenant>, RegistryError> {
        let name = identity.tenant().unwrap_or_default();
        match name.parse::<TenantName>() {
            Ok(name) => self.registry.get(&name).await,
            // Signed by an older server, or by hand: no tenant can have this name.
            Err(_) => Err(RegistryError::Unknown(name.to_owned())),
        }
    }
}
