use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use pm_core::{Clock, Tick};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::{RegistryError, Storage, Tenant, TenantName};
use crate::{store::StoreError, sync::RingLimits};

/// How many tenants may be open, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct RegistryLimits {
    /// Most tenants that are open at a time: each has threads and file descriptors of its own.
    /// Default: 64.
    pub max_open: usize,
    /// How long a tenant stays open without users. Default: 5 minutes.
    pub idle: Duration,
    /// How long a damaged tenant is left alone before it is tried again. Default: 5 minutes.
    pub quarantine: Duration,
    /// How much of its log an open tenant keeps at hand.
    pub ring: RingLimits,
}

impl Default for RegistryLimits {
    fn default() -> Self {
        Self {
            max_open: 64,
            idle: Duration::from_secs(300),
            quarantine: Duration::from_secs(300),
            ring: RingLimits::default(),
        }
    }
}

/// All tenants of a server: opened when somebody asks for them, closed when nobody uses them.
///
/// Whoever holds the `Arc` of a tenant is its user. However many ask at the same time for a tenant
/// that is not open, it is opened once. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    storage: Arc<dyn Storage>,
    clock: Clock,
    limits: RegistryLimits,
    /// One permit for each tenant that may be open.
    permits: Arc<Semaphore>,
    /// One entry for each tenant that somebody asked for. Entries leave in
    /// [`close_idle`](Registry::close_idle) only, and never while somebody else holds them: two
    /// entries for one tenant would open it twice.
    slots: Mutex<HashMap<TenantName, Arc<Slot>>>,
    /// Held while tenants are closed to make room, so that one who waits for room sees it.
    clearing: tokio::sync::Mutex<()>,
    closing: AtomicBool,
}

/// Who holds the lock opens or closes the tenant; everybody else who wants it waits.
type Slot = tokio::sync::Mutex<State>;

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Open(Open),
    Quarantined {
        until: Tick,
        source: Arc<StoreError>,
    },
}

#[derive(Debug)]
struct Open {
    tenant: Arc<Tenant>,
    /// The last moment at which it is known to have had a user.
    used: Tick,
    _permit: OwnedSemaphorePermit,
}

impl Open {
    /// New users come through the registry only, under the lock of the slot.
    fn is_unused(&self) -> bool {
        Arc::strong_count(&self.tenant) == 1
    }
}

impl Registry {
    /// A registry of the tenants in `storage`. Nothing is opened yet.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, clock: Clock, limits: RegistryLimits) -> Self {
        Self {
            shared: Arc::new(Shared {
                storage,
                clock,
                limits,
                permits: Arc::new(Semaphore::new(limits.max_open)),
                slots: Mutex::default(),
                clearing: tokio::sync::Mutex::default(),
                closing: AtomicBool::new(false),
            }),
        }
    }

    /// The tenant of this name, opened if it is not.
    ///
    /// # Errors
    ///
    /// There is no such tenant, it is damaged or does not answer, or there is no room.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it opens the tenant: the next who asks opens it.
    pub async fn get(&self, name: &TenantName) -> Result<Arc<Tenant>, RegistryError> {
        let slot = self.slot(name);
        let mut state = slot.lock().await;
        if self.shared.closing.load(Ordering::SeqCst) {
            return Err(RegistryError::Closing);
        }
        let now = self.shared.clock.now();
        match &mut *state {
            State::Open(open) if open.tenant.is_damaged() => {
                let damage = StoreError::corrupt("it was found so while it was in use");
                close(name, &mut state).await;
                return Err(self.set_aside(&mut state, self.refusal(name, damage)));
            }
            State::Open(open) => {
                open.used = now;
                return Ok(open.tenant.clone());
            }
            State::Quarantined { until, source } if now < *until => {
                return Err(RegistryError::Quarantined {
                    name: name.clone(),
                    retry_after: until.saturating_duration_since(now),
                    source: source.clone(),
                });
            }
            State::Closed | State::Quarantined { .. } => {}
        }
        match self.open(name).await {
            Ok(open) => {
                let tenant = open.tenant.clone();
                *state = State::Open(open);
                tracing::debug!(tenant = %name, "opened");
                Ok(tenant)
            }
            Err(error) => Err(self.set_aside(&mut state, error)),
        }
    }

    /// Remembers that a tenant is damaged, if that is what the error says.
    fn set_aside(&self, state: &mut State, error: RegistryError) -> RegistryError {
        if let RegistryError::Quarantined {
            name,
            retry_after,
            source,
        } = &error
        {
            tracing::error!(
                tenant = %name,
                error = &**source as &dyn std::error::Error,
                "a tenant is damaged and was set aside"
            );
            let until = self.shared.clock.now() + *retry_after;
            *state = State::Quarantined {
                until,
                source: source.clone(),
            };
        }
        error
    }

    /// Makes a tenant; whether it is new.
    ///
    /// # Errors
    ///
    /// The storage does not answer, or what is there is damaged.
    pub async fn create(&self, name: &TenantName) -> Result<bool, RegistryError> {
        let slot = self.slot(name);
        let _state = slot.lock().await;
        let made = self.shared.storage.create(name).await;
        made.map_err(|source| self.refusal(name, source))
    }

    /// Whether the storage of the tenants works; no tenant is opened for it.
    ///
    /// # Errors
    ///
    /// As [`Storage::probe`].
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.shared.storage.probe().await
    }

    /// Closes the tenants that had no user for as long as [`RegistryLimits::idle`] before `now`.
    /// Called every now and then by whoever runs the server.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it closes a tenant: that one is closed without order, which its log outlives.
    pub async fn close_idle(&self, now: Tick) {
        let _clearing = self.shared.clearing.lock().await;
        for (name, slot) in self.snapshot() {
            // A slot that is locked is in use, or about to be.
            let Ok(mut state) = slot.try_lock() else {
                continue;
            };
            if let State::Open(open) = &mut *state {
                if !open.is_unused() {
                    open.used = now;
                } else if now.saturating_duration_since(open.used) >= self.shared.limits.idle {
                    close(&name, &mut state).await;
                }
            }
        }
        self.slots().retain(|_, slot| {
            let closed = || {
                slot.try_lock()
                    .is_ok_and(|state| matches!(*state, State::Closed))
            };
            Arc::strong_count(slot) > 1 || !closed()
        });
    }

    /// Closes all tenants, in use or not, and opens none any more.
    pub async fn close(&self) {
        // Before the slots are listed: who comes later finds it set, who came earlier is listed.
        self.shared.closing.store(true, Ordering::SeqCst);
        for (name, slot) in self.snapshot() {
            close(&name, &mut *slot.lock().await).await;
        }
    }

    /// How many tenants are open, or being opened.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.shared.limits.max_open - self.shared.permits.available_permits()
    }

    async fn open(&self, name: &TenantName) -> Result<Open, RegistryError> {
        let permit = self.permit().await?;
        let log = match self.shared.storage.open(name).await {
            Ok(Some(log)) => log,
            Ok(None) => return Err(RegistryError::Unknown(name.to_string())),
            Err(error) => return Err(self.refusal(name, error)),
        };
        let tenant = Tenant::open(
            name.as_str(),
            log,
            self.shared.limits.ring,
            self.shared.clock.clone(),
        )
        .await
        .map_err(|error| self.refusal(name, error))?;
        Ok(Open {
            tenant: Arc::new(tenant),
            used: self.shared.clock.now(),
            _permit: permit,
        })
    }

    /// Room for one more open tenant; unused ones are closed for it, the one that was used least
    /// recently first.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, RegistryError> {
        let permits = &self.shared.permits;
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let _clearing = self.shared.clearing.lock().await;
        loop {
            if let Ok(permit) = permits.clone().try_acquire_owned() {
                return Ok(permit);
            }
            let Some((name, mut state)) = self.least_recently_used() else {
                return Err(RegistryError::Busy {
                    max_open: self.shared.limits.max_open,
                });
            };
            close(&name, &mut state).await;
        }
    }

    fn least_recently_used(&self) -> Option<(TenantName, OwnedMutexGuard<State>)> {
        let mut least = None;
        for (name, slot) in self.snapshot() {
            let Ok(state) = slot.try_lock_owned() else {
                continue;
            };
            if let State::Open(open) = &*state
                && open.is_unused()
                && least.as_ref().is_none_or(|(used, _, _)| open.used < *used)
            {
                least = Some((open.used, name, state));
            }
        }
        least.map(|(_, name, state)| (name, state))
    }

    fn refusal(&self, name: &TenantName, error: StoreError) -> RegistryError {
        let name = name.clone();
        match error {
            StoreError::Corrupt { .. } => RegistryError::Quarantined {
                name,
                retry_after: self.shared.limits.quarantine,
                source: Arc::new(error),
            },
            source => RegistryError::Unavailable { name, source },
        }
    }

    fn slot(&self, name: &TenantName) -> Arc<Slot> {
        self.slots().entry(name.clone()).or_default().clone()
    }

    fn snapshot(&self) -> Vec<(TenantName, Arc<Slot>)> {
        let slots = self.slots();
        slots
            .iter()
            .map(|(name, slot)| (name.clone(), slot.clone()))
            .collect()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<TenantName, Arc<Slot>>> {
        self.shared
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the tenant of a slot, if it is open. Under the lock of the slot, so that nobody opens it
/// again before it is closed.
async fn close(name: &TenantName, state: &mut State) {
    let State::Open(open) = mem::take(state) else {
        return;
    };
    match open.tenant.close().await {
        Ok(()) => tracing::debug!(tenant = %name, "closed"),
        Err(error) => tracing::warn!(
            tenant = %name,
            error = &error as &dyn std::error::Error,
            "a tenant was not closed in order"
        ),
    }
}
