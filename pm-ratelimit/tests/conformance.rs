//! A store from outside the crate, here one that adds a wait to another, runs the suite with one
//! line, and so can yours.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pm_core::{Clock, ManualTime, Tick};
use pm_ratelimit::store::conformance::Fixture;
use pm_ratelimit::{Charge, Charges, Decision, Error, MemoryStore, RateLimitStore};

#[derive(Debug)]
struct Late(Arc<MemoryStore>);

#[async_trait]
impl RateLimitStore for Late {
    fn try_decide(&self, _: &[Charge], _: Tick) -> Option<Decision> {
        None
    }

    async fn decide(self: Arc<Self>, charges: Charges, now: Tick) -> Result<Decision, Error> {
        tokio::task::yield_now().await;
        Arc::clone(&self.0).decide(charges, now).await
    }
}

struct Setup {
    store: Arc<Late>,
    clock: Clock,
    time: ManualTime,
}

impl Setup {
    fn new() -> Self {
        let (clock, time) = Clock::manual();
        Self {
            store: Arc::new(Late(Arc::new(MemoryStore::bounded(1_000)))),
            clock,
            time,
        }
    }
}

#[async_trait]
impl Fixture for Setup {
    fn store(&self) -> Arc<dyn RateLimitStore> {
        self.store.clone()
    }

    fn now(&self) -> Tick {
        self.clock.now()
    }

    async fn advance(&self, by: Duration) {
        self.time.advance(by);
    }
}

pm_ratelimit::conformance!(Setup::new());
