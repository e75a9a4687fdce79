//! Who is refused, how often, and where: recorded, counted, and told when it becomes too much.

mod alert;
mod builder;
mod endpoints;
mod pending;
mod sketch;
mod store;
mod threshold;
mod violation;
mod watched;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pm_core::{Cidr, ClientIp, Clock};

use self::builder::OnAlert;
use self::endpoints::Endpoints;
use self::pending::Pending;
use self::sketch::{HALF, Sketch};
use crate::client_prefix::client_prefix;
use crate::telemetry::{ViolationCounters, ViolationStats};
use crate::{Error, Incident, RefusalObserver};

pub use self::alert::{Alert, Scope};
pub use self::builder::ViolationsBuilder;
pub use self::endpoints::EndpointViolations;
pub use self::sketch::Offender;
pub use self::store::{KEPT, ViolationStore};
pub use self::threshold::Threshold;
pub use self::violation::Violation;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use self::threshold::Ring;
pub(crate) use self::watched::Watched;

/// How often what was recorded is written to the store.
const FLUSH: Duration = Duration::from_secs(1);

/// Records refusals, counts them by address and by endpoint, and raises an alert when somebody is
/// refused too often: a handle that is cheap to clone, and an observer of limiters.
///
/// ```
/// use pm_ratelimit::{Limiter, Quota, Rule, Rules, Violations};
///
/// # fn example() -> Result<(), pm_ratelimit::InvalidRules> {
/// let violations = Violations::builder()
///     .on_alert(|alert| println!("{} was refused too often", alert.prefix))
///     .build();
/// tokio::spawn(violations.clone().run());
/// let limiter = Limiter::builder(Rules::new().rule("all", Rule::always().quota(Quota::per_minute(60))))
///     .observer(violations.clone())
///     .build()?;
/// for endpoint in violations.last_hour().iter().take(10) {
///     println!("{}: {} refusals", endpoint.endpoint, endpoint.count);
/// }
/// # Ok(()) }
/// ```
///
/// Memory is bounded, whatever comes. What gives way in a flood: rows beyond 1,000 a second are
/// [counted](Self::stats) and not kept; addresses with the fewest violations are not watched any
/// longer; endpoints that there is no room for are counted together.
///
/// An IPv6 address counts as its /64, as for the [limits](crate::Subject::client).
#[derive(Clone)]
pub struct Violations(Arc<Shared>);

struct Shared {
    store: Arc<dyn ViolationStore>,
    clock: Clock,
    on_alert: Option<Box<OnAlert>>,
    watched: Watched,
    offenders: Mutex<Sketch>,
    endpoints: Endpoints,
    pending: Pending,
    counters: ViolationCounters,
}

impl Violations {
    /// Watches for more than 10 violations in 5 minutes, and keeps them in memory, unless something
    /// else is said.
    pub fn builder() -> ViolationsBuilder {
        ViolationsBuilder::new()
    }

    fn start(settings: ViolationsBuilder, store: Arc<dyn ViolationStore>) -> Self {
        Self(Arc::new(Shared {
            store,
            clock: settings.clock,
            on_alert: settings.on_alert,
            watched: Watched::new(settings.alert, settings.addresses),
            offenders: Mutex::new(Sketch::new(settings.offenders)),
            endpoints: Endpoints::new(settings.endpoints),
            pending: Pending::default(),
            counters: ViolationCounters::default(),
        }))
    }

    /// Writes what was recorded to the store, once a second if there is something, for ever. Spawn
    /// it; without it nothing reaches the store, and there are no alerts of the fleet.
    ///
    /// What a store fails to take is lost, counted and logged; it is not sent again. Cancel-safe:
    /// what is being written when it is dropped is in the store or lost.
    ///
    /// # Panics
    ///
    /// With the system clock, outside a tokio runtime with its timer on.
    pub async fn run(self) {
        loop {
            let clock = &self.0.clock;
            clock.sleep_until(clock.now() + FLUSH).await;
            if let Err(error) = self.flush().await {
                tracing::warn!(error = ?error, "violations cannot be written, and are lost");
            }
        }
    }

    /// Writes what was recorded to the store: what [`run`](Self::run) does once a second, and what
    /// you may do once more before the program ends.
    ///
    /// # Errors
    ///
    /// If the store failed. What it did not take is lost, and counted as dropped.
    pub async fn flush(&self) -> Result<(), Error> {
        let shared = &self.0;
        let rows = shared.pending.take();
        if rows.is_empty() {
            return Ok(());
        }
        let (count, threshold) = (rows.len(), *shared.watched.threshold());
        let now = shared.clock.wall_micros();
        let store = Arc::clone(&shared.store);
        match store.record(rows, threshold, now).await {
            Ok(passed) => {
                for prefix in passed {
                    shared.alert(prefix, Scope::Fleet);
                }
                Ok(())
            }
            Err(error) => {
                shared.counters.dropped(count as u64);
                Err(error)
            }
        }
    }

    /// How often callers of each endpoint were refused by this instance in the last hour, the most
    /// frequent first; endpoints that there was no room for come together, as `other`.
    ///
    /// An endpoint is a method and a path, or the route that axum has chosen (feature `axum`), or an
    /// operation.
    #[must_use]
    pub fn last_hour(&self) -> Vec<EndpointViolations> {
        self.0.endpoints.last_hour(self.0.minute())
    }

    /// Who was refused by this instance most often in the last half hour to hour: the first `count`.
    ///
    /// No count is too low; how much too high it may be stands beside it. Of `N` refusals, nobody
    /// with more than one [1,024th](ViolationsBuilder::offenders) is missing.
    #[must_use]
    pub fn top_offenders(&self, count: usize) -> Vec<Offender> {
        self.0.sketch().top(count, self.0.half())
    }

    /// The latest violations of an address that are in the store, of all instances that share it: at
    /// most `limit` of the last hour, the latest first.
    ///
    /// # Errors
    ///
    /// If the store failed.
    pub async fn recent(
        &self,
        client: impl Into<ClientIp>,
        limit: usize,
    ) -> Result<Vec<Violation>, Error> {
        let prefix = client_prefix(client.into());
        let now = self.0.clock.wall_micros();
        Arc::clone(&self.0.store).recent(prefix, limit, now).await
    }

    /// What has been counted.
    #[must_use]
    pub fn stats(&self) -> ViolationStats {
        self.0.counters.stats()
    }
}

impl RefusalObserver for Violations {
    fn refused(&self, incident: &Incident<'_>) {
        let shared = &self.0;
        let endpoint = incident.endpoint();
        shared.endpoints.note(&endpoint, shared.minute());
        shared.counters.seen();
        let Some(client) = incident.as_client() else {
            return;
        };
        let prefix = client_prefix(client);
        shared.sketch().note(prefix, shared.half());
        let kept = shared.pending.push(|| {
            Violation::new(client, shared.clock.wall_micros(), endpoint)
                .with_request_id(incident.as_request_id())
        });
        if !kept {
            shared.counters.dropped(1);
        }
        if shared.watched.note(prefix, shared.micros()) {
            shared.alert(prefix, Scope::Instance);
        }
    }
}

impl Shared {
    fn alert(&self, prefix: Cidr, scope: Scope) {
        let alert = Alert {
            prefix,
            at_micros: self.clock.wall_micros(),
            scope,
            threshold: *self.watched.threshold(),
        };
        tracing::warn!(
            %prefix,
            scope = scope.as_str(),
            more_than = alert.threshold.count() - 1,
            within = ?alert.threshold.within(),
            "an address is refused too often"
        );
        self.counters.alerted(scope);
        if let Some(on_alert) = &self.on_alert {
            on_alert(&alert);
        }
    }

    fn sketch(&self) -> std::sync::MutexGuard<'_, Sketch> {
        self.offenders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn micros(&self) -> i64 {
        i64::try_from(self.clock.now().as_nanos() / 1_000).unwrap_or(i64::MAX)
    }

    fn minute(&self) -> u64 {
        self.clock.now().as_nanos() / 60_000_000_000
    }

    fn half(&self) -> u64 {
        self.clock.now().as_nanos() / HALF.as_nanos() as u64
    }
}

impl fmt::Debug for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Violations")
            .field("store", &self.0.store)
            .field("alert", self.0.watched.threshold())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
