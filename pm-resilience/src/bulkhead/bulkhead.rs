use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pm_core::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::BulkheadSettings;
use crate::telemetry::GateMetrics;
use crate::{Pattern, Reason, Rejection};

/// A fixed number of permits: a handle, cheap to clone. See the [module documentation](super).
#[derive(Clone)]
pub struct Bulkhead(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    clock: Clock,
    /// Tokio's: fair, and cancel-safe.
    permits: Arc<Semaphore>,
    waiting: AtomicU64,
    terms: Mutex<Terms>,
    metrics: GateMetrics,
}

struct Terms {
    settings: BulkheadSettings,
    /// Permits that are to go once they come back, since there are to be fewer.
    surplus: usize,
}

/// Leave to make one call. Dropping it gives it back.
#[must_use = "it is given back when it is dropped"]
pub struct Permit {
    shared: Arc<Shared>,
    /// Only empty while it is dropped.
    held: Option<OwnedSemaphorePermit>,
}

/// One who waits, until this is dropped.
struct Waiting(Arc<Shared>);

impl Bulkhead {
    /// A bulkhead with all of its permits. The name is for rejections, logs and metrics.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, settings: BulkheadSettings) -> Self {
        Self::build(name.into(), settings, Clock::system())
    }

    /// The same with all of its permits, on another clock than the machine's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self::build(Arc::clone(&self.0.name), self.settings(), clock)
    }

    fn build(name: Arc<str>, settings: BulkheadSettings, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            metrics: GateMetrics::new(Pattern::Bulkhead, &name),
            name,
            clock,
            permits: Arc::new(Semaphore::new(settings.max.get() as usize)),
            waiting: AtomicU64::new(0),
            terms: Mutex::new(Terms {
                settings,
                surplus: 0,
            }),
        }))
    }

    /// The name in rejections, logs and metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// A permit, if there is one now.
    ///
    /// # Errors
    ///
    /// If there is none, or others wait for one.
    pub fn try_acquire(&self) -> Result<Permit, Rejection> {
        self.look().ok_or_else(|| self.reject(Reason::Full))
    }

    /// A permit, as soon as there is one: at once, or behind those who wait already, as long as
    /// there is room in the queue and for as long as one may wait.
    ///
    /// Cancel-safe: dropping the future gives its place, and its permit, to the next.
    ///
    /// # Errors
    ///
    /// If as many wait as may, or if it waited too long.
    ///
    /// # Panics
    ///
    /// With the system clock, if it has to wait outside a tokio runtime with its timer on.
    pub fn acquire(&self) -> impl Future<Output = Result<Permit, Rejection>> + Send + use<> {
        let this = self.clone();
        async move {
            if let Some(permit) = this.look() {
                return Ok(permit);
            }
            let settings = this.settings();
            let (waiting, ahead) = Waiting::behind(&this.0);
            if ahead >= u64::from(settings.queue) {
                return Err(this.reject(Reason::Full));
            }
            let acquired = Arc::clone(&this.0.permits).acquire_owned();
            let acquired = this.0.clock.within(settings.wait, acquired).await;
            drop(waiting);
            match acquired {
                Ok(held) => Ok(this.permit(held.expect("the semaphore is never closed"))),
                Err(_) => Err(this.reject(Reason::WaitedTooLong)),
            }
        }
    }

    /// How many calls are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let free = self.0.permits.available_permits();
        self.0
            .terms(|terms| (terms.settings.max.get() as usize + terms.surplus).saturating_sub(free))
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.0.waiting.load(Ordering::SeqCst)
    }

    /// Other settings. Calls that are under way go on: if there are to be fewer, permits go as they
    /// come back. Who waits already waits as long as it was told.
    pub fn reload(&self, settings: BulkheadSettings) {
        self.0.terms(|terms| {
            let before = terms.settings.max.get() as usize + terms.surplus;
            let after = settings.max.get() as usize;
            terms.settings = settings;
            terms.surplus = 0;
            if after > before {
                self.0.permits.add_permits(after - before);
            } else {
                let too_many = before - after;
                terms.surplus = too_many - self.0.permits.forget_permits(too_many);
            }
        });
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> BulkheadSettings {
        self.0.terms(|terms| terms.settings)
    }

    /// A permit without waiting, and without a rejection.
    pub(crate) fn look(&self) -> Option<Permit> {
        let held = Arc::clone(&self.0.permits).try_acquire_owned().ok()?;
        Some(self.permit(held))
    }

    fn permit(&self, held: OwnedSemaphorePermit) -> Permit {
        self.0.metrics.admitted();
        Permit {
            shared: Arc::clone(&self.0),
            held: Some(held),
        }
    }

    fn reject(&self, reason: Reason) -> Rejection {
        self.0.metrics.rejected(reason);
        Rejection::new(Arc::clone(&self.0.name), Pattern::Bulkhead, reason)
    }
}

impl Shared {
    fn terms<T>(&self, look: impl FnOnce(&mut Terms) -> T) -> T {
        // Nothing that could panic is done under the lock.
        look(&mut self.terms.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.metrics.freed();
        let held = self.held.take();
        self.shared.terms(|terms| {
            if terms.surplus > 0
                && let Some(held) = held
            {
                terms.surplus -= 1;
                held.forget();
            }
        });
    }
}

impl Waiting {
    /// One more, and how many there were before.
    fn behind(shared: &Arc<Shared>) -> (Self, u64) {
        let ahead = shared.waiting.fetch_add(1, Ordering::SeqCst);
        (Self(Arc::clone(shared)), ahead)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for Bulkhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulkhead")
            .field("name", &self.0.name)
            .field("settings", &self.settings())
            .field("in_flight", &self.in_flight())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("of", &self.shared.name)
            .finish_non_exhaustive()
    }
}
