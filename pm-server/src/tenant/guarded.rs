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

use crate::{
    domain::{Id, Mutation},
    store::{Activity, Applied, Log, Page, Position, Scope, Snapshot, StoreError},
};

/// How long one call may take. A file that somebody else has locked is waited for less.
const WITHIN: Duration = Duration::from_secs(15);

/// The log of an open tenant: no call takes for ever, and damage that is found is remembered.
#[derive(Debug)]
pub(super) struct Guarded {
    log: Arc<dyn Log>,
    clock: Clock,
    damaged: AtomicBool,
}

impl Guarded {
    pub(super) fn new(log: Arc<dyn Log>, clock: Clock) -> Self {
        Self {
            log,
            clock,
            damaged: AtomicBool::new(false),
        }
    }

    /// Whether a call found the storage damaged.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    async fn guard<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let late = |_| Err(StoreError::Unavailable("it took too long".into()));
        let result = self.clock.within(WITHIN, call).await.unwrap_or_else(late);
        if let Err(StoreError::Corrupt { .. }) = result {
            self.damaged.store(true, Ordering::Relaxed);
        }
        result
    }
}

// A method that the trait gains must be guarded, too.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Log for Guarded {
    async fn head(&self) -> Result<Position, StoreError> {
        self.guard(self.log.head()).await
    }

    async fn apply(&self, group: &[Mutation]) -> Result<Applied, StoreError> {
        self.guard(self.log.apply(group)).await
    }

    async fn read(&self, scope: Scope, after: u64, limit: usize) -> Result<Page, StoreError> {
        self.guard(self.log.read(scope, after, limit)).await
    }

    async fn snapshot(&self, scope: Scope) -> Result<Snapshot, StoreError> {
        self.guard(self.log.snapshot(scope)).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.guard(self.log.close()).await
    }

    async fn item(&self, id: Id, limit: usize) -> Result<Option<Activity>, StoreError> {
        self.guard(self.log.item(id, limit)).await
    }
}
