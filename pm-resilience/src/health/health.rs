use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use http::Response;
use pm_core::reload::InvalidSetting;
use pm_core::{Clock, Tick};
use tokio::sync::Notify;

use super::answer::Snapshot;
use super::check::{Ask, BoxError};
use super::observed::{Last, Observed};
use super::{
    Check, CheckSettings, Dependency, HealthBuilder, HealthService, Probe, Status, Weight,
};
use crate::caught::caught;
use crate::shutdown::Drain;
use crate::telemetry::CheckMetrics;

/// Whether this process runs, takes requests, has started: a handle, cheap to clone. See the
/// [module documentation](super).
#[derive(Clone)]
pub struct Health(Arc<Shared>);

struct Shared {
    checks: Vec<Checked>,
    drain: Option<Drain>,
    clock: Clock,
    /// Rung after a dependency came up.
    up: Notify,
}

struct Checked {
    name: String,
    weight: Weight,
    ask: Box<Ask>,
    /// Held for a few instructions, and never while something is asked.
    state: Mutex<State>,
    metrics: CheckMetrics,
}

struct State {
    settings: CheckSettings,
    observed: Observed,
}

/// Why a check did not pass.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("no answer within {0:?}")]
    TimedOut(std::time::Duration),
    #[error(transparent)]
    Said(#[from] BoxError),
}

impl Health {
    /// Without a check, it is ready at once.
    pub const fn builder() -> HealthBuilder {
        HealthBuilder::new()
    }

    pub(super) fn new(builder: HealthBuilder) -> Self {
        let HealthBuilder {
            checks,
            drain,
            clock,
        } = builder;
        Self(Arc::new(Shared {
            checks: checks.into_iter().map(Checked::new).collect(),
            drain,
            clock,
            up: Notify::new(),
        }))
    }

    /// Checks all dependencies, each at its own times, at first at once. Never ends: for a task of
    /// its own, and one is enough.
    ///
    /// Dropping it drops the checks that are under way. What was known grows stale then.
    ///
    /// # Panics
    ///
    /// With the system clock, outside a tokio runtime with its timer on.
    pub async fn run(&self) -> Infallible {
        let mut checking: Vec<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = Vec::new();
        for checked in &self.0.checks {
            checking.push(Box::pin(self.keep_checking(checked)));
        }
        poll_fn(|cx| {
            for check in &mut checking {
                // None of them ends.
                let _ = check.as_mut().poll(cx);
            }
            Poll::Pending
        })
        .await
    }

    /// The answer to a probe: 200 or 503, from what is known, without waiting for anything.
    #[must_use]
    pub fn response(&self, probe: Probe) -> Response<Bytes> {
        self.answer(probe).map(Bytes::from)
    }

    /// A service that answers this probe, whatever it is asked: to be mounted where probes go.
    #[must_use]
    pub fn service(&self, probe: Probe) -> HealthService {
        HealthService::new(self.clone(), probe)
    }

    /// Whether it takes requests.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.snapshot().is_ready()
    }

    /// Whether every critical dependency was up once. It stays so.
    #[must_use]
    pub fn is_started(&self) -> bool {
        let mut critical = self
            .0
            .checks
            .iter()
            .filter(|c| c.weight == Weight::Critical);
        critical.all(|checked| checked.state(|state| state.observed.seen))
    }

    /// Waits until every critical dependency was up once. Cancel-safe.
    pub async fn started(&self) {
        loop {
            let mut up = pin!(self.0.up.notified());
            up.as_mut().enable();
            if self.is_started() {
                return;
            }
            up.await;
        }
    }

    /// What is known of each dependency, in the order in which they were added.
    #[must_use]
    pub fn dependencies(&self) -> Vec<Dependency> {
        let now = self.0.clock.now();
        self.0
            .checks
            .iter()
            .map(|checked| checked.known(now))
            .collect()
    }

    /// Other times and damping for one dependency, from its next check on. What is known stays.
    ///
    /// # Errors
    ///
    /// If there is no such dependency, or a time is zero; nothing is changed then.
    pub fn reload(&self, name: &str, settings: CheckSettings) -> Result<(), InvalidSetting> {
        settings.check().map_err(|error| error.within(name))?;
        let checked = self.0.checks.iter().find(|checked| checked.name == name);
        let unknown = || InvalidSetting::new(name.to_owned(), "there is no such dependency");
        checked
            .ok_or_else(unknown)?
            .state(|state| state.settings = settings);
        Ok(())
    }

    pub(super) fn answer(&self, probe: Probe) -> Response<String> {
        self.snapshot().answer(probe)
    }

    fn snapshot(&self) -> Snapshot {
        let drain = self.0.drain.as_ref();
        Snapshot {
            dependencies: self.dependencies(),
            started: self.is_started(),
            stopping: drain.is_some_and(|drain| !drain.is_ready()),
        }
    }

    async fn keep_checking(&self, checked: &Checked) {
        let Shared { clock, up, .. } = &*self.0;
        loop {
            if checked.ask(clock).await == Some(Status::Up) {
                up.notify_waiters();
            }
            let every = checked.state(|state| state.settings.every);
            clock.sleep_until(clock.now() + every).await;
        }
    }
}

impl Checked {
    fn new(check: Check) -> Self {
        let Check {
            name,
            weight,
            settings,
            ask,
        } = check;
        Self {
            metrics: CheckMetrics::new(&name),
            name,
            weight,
            ask,
            state: Mutex::new(State {
                settings,
                observed: Observed::default(),
            }),
        }
    }

    /// Asks once. Returns what the dependency changed to, if it did.
    async fn ask(&self, clock: &Clock) -> Option<Status> {
        let began = clock.now();
        let timeout = self.state(|state| state.settings.timeout);
        // Also what panics before there is a future.
        let asking = caught(async { (self.ask)().await });
        let result = match clock.within(timeout, asking).await {
            Ok(Ok(result)) => result.map_err(Failed::Said),
            Ok(Err(panicked)) => Err(Failed::Said(panicked.into())),
            Err(_) => Err(Failed::TimedOut(timeout)),
        };
        let now = clock.now();
        let latency = now.saturating_duration_since(began);
        let last = Last { at: now, latency };
        let (change, status) = self.state(|State { settings, observed }| {
            let change = observed.take(result.is_ok(), last, settings);
            (change, observed.status(now, settings))
        });
        self.metrics.known(status.is_up());
        self.metrics.checked(
            match &result {
                Ok(()) => "passed",
                Err(Failed::Said(_)) => "failed",
                Err(Failed::TimedOut(_)) => "timed_out",
            },
            latency,
        );
        let Self { name, weight, .. } = self;
        match (change, result) {
            (Some(_), Ok(())) => tracing::info!(dependency = name, ?latency, "up"),
            // With what caused it, where that is known.
            (Some(_), Err(error)) => {
                let error = &error as &dyn Error;
                tracing::warn!(dependency = name, ?weight, ?latency, error, "down");
            }
            (None, Err(error)) => {
                let error = &error as &dyn Error;
                tracing::debug!(dependency = name, ?latency, error, "a check failed");
            }
            (None, Ok(())) => {}
        }
        change
    }

    fn known(&self, now: Tick) -> Dependency {
        let (status, last) = self
            .state(|State { settings, observed }| (observed.status(now, settings), observed.last));
        self.metrics.known(status.is_up());
        Dependency {
            name: self.name.clone(),
            weight: self.weight,
            status,
            latency: last.map(|last| last.latency),
            age: last.map(|last| now.saturating_duration_since(last.at)),
        }
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        // Nothing that could panic is done under the lock.
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("dependencies", &self.dependencies())
            .field("drain", &self.0.drain)
            .finish_non_exhaustive()
    }
}
