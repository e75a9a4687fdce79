//! What every part of a running server shares.

use std::sync::Arc;

use pm_core::{Clock, Identity};

use crate::{
    auth::Keys,
    drain::Drain,
    tenant::{Registry, RegistryError, Tenant, TenantName},
};

/// What every part of a running server shares. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    pub(crate) clock: Clock,
    pub(crate) drain: Drain,
    pub(crate) keys: Arc<Keys>,
    pub(crate) registry: Registry,
}

impl App {
    /// A server that is not yet asked to stop.
    #[must_use]
    pub fn new(registry: Registry, keys: Arc<Keys>, clock: Clock) -> Self {
        Self {
            clock,
            drain: Drain::new(),
            keys,
            registry,
        }
    }

    /// How far the server is on its way down.
    #[must_use]
    pub fn drain(&self) -> &Drain {
        &self.drain
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
