use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use pm_core::Clock;
use pm_resilience::{BreakerSettings, Class, Error, Outcome, Policy, Timeouts};

use crate::{
    domain::{Id, Mutation},
    store::{Activity, Applied, Log, Page, Position, Scope, Snapshot, StoreError},
};

/// What takes longer is in the log.
const SLOW: Duration = Duration::from_millis(100);

/// The log of an open tenant: no call takes for ever, one that keeps failing is not asked for a while,
/// one that is slow is told of, and damage that is found is remembered.
///
/// Nothing is repeated here. A write that took too long may have been done nevertheless: who repeats it
/// under its mutation id finds out.
#[derive(Debug)]
pub(super) struct Guarded {
    log: Arc<dyn Log>,
    /// Reading connections are not the writing one: either may fail without the other.
    reads: Policy<Say>,
    writes: Policy<Say>,
    damaged: AtomicBool,
}

impl Guarded {
    pub(super) fn new(tenant: &str, log: Arc<dyn Log>, clock: &Clock) -> Self {
        Self {
            log,
            reads: policy("storage.reads", tenant, clock),
            writes: policy("storage.writes", tenant, clock),
            damaged: AtomicBool::new(false),
        }
    }

    /// Whether a call found the storage damaged.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    fn said<T>(&self, result: Result<T, Error<StoreError>>) -> Result<T, StoreError> {
        let result = result.map_err(StoreError::from);
        if let Err(StoreError::Corrupt { .. }) = result {
            self.damaged.store(true, Ordering::Relaxed);
        }
        result
    }

    async fn read_by<T, F>(
        &self,
        operation: &'static str,
        call: impl FnMut() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.said(self.reads.read(operation, call).await)
    }
}

/// One name for all tenants, which are many: who it was stands in the log, and not in metrics.
fn policy(name: &str, tenant: &str, clock: &Clock) -> Policy<Say> {
    let seconds = Duration::from_secs;
    // A file that somebody else has locked is waited for less than any of these.
    let timeouts = Timeouts::new()
        .with_read(seconds(8))
        .with_write(seconds(10))
        .with_batch(seconds(15));
    // Soon asked again: a disk may be full for a moment.
    let breaker = BreakerSettings::new()
        .with_open_for(seconds(2))
        .with_growth(2.0, seconds(30));
    Policy::named(name)
        .key(tenant)
        .timeouts(timeouts)
        .breaker(breaker)
        .slow_log(SLOW)
        .classify(Say)
        .clock(clock.clone())
        .build()
        .expect("what is written here is valid")
}

/// What an answer says of the storage.
#[derive(Clone, Copy, Debug)]
struct Say;

impl<T> pm_resilience::Classify<T, StoreError> for Say {
    fn classify(&self, result: Result<&T, &StoreError>) -> Outcome {
        match result {
            // It looked at the row, and said no.
            Ok(_) | Err(StoreError::Constraint(_)) => Outcome::Success,
            Err(_) => Outcome::Failure,
        }
    }
}

// A method that the trait gains must be guarded, too.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Log for Guarded {
    async fn head(&self) -> Result<Position, StoreError> {
        self.read_by("head", || self.log.head()).await
    }

    async fn apply(&self, group: &[Mutation]) -> Result<Applied, StoreError> {
        let apply = self.writes.write("apply", || self.log.apply(group));
        self.said(apply.await)
    }

    async fn read(&self, scope: Scope, after: u64, limit: usize) -> Result<Page, StoreError> {
        self.read_by("read", || self.log.read(scope, after, limit))
            .await
    }

    async fn snapshot(&self, scope: Scope) -> Result<Snapshot, StoreError> {
        // All of a scope, which may be much.
        let snapshot = self.reads.batch("snapshot", || self.log.snapshot(scope));
        self.said(snapshot.await)
    }

    async fn close(&self) -> Result<(), StoreError> {
        // Whatever the breakers say: it is the last thing that is asked.
        let timeout = self.writes.timeout();
        let closed = timeout.run(Class::Batch, self.log.close()).await;
        self.said(closed)
    }

    async fn item(&self, id: Id, limit: usize) -> Result<Option<Activity>, StoreError> {
        self.read_by("item", || self.log.item(id, limit)).await
    }
}
