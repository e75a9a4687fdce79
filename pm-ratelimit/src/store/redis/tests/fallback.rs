//! The fallback passes the suite with a real Redis, and without one.

use pm_core::{Clock, ManualTime};

use super::*;
use crate::Fallback;

fn before(store: &Arc<RedisStore>) -> Arc<dyn RateLimitStore> {
    Arc::new(Fallback::new(
        Arc::clone(store),
        MemoryStore::bounded(1_000),
    ))
}

mod up {
    use super::*;

    crate::conformance!(Around::start(before).await);
}

struct Down(Arc<dyn RateLimitStore>, Clock, ManualTime);

impl Down {
    /// After its server was killed, and one call has found out.
    async fn start() -> Self {
        let mut setup = Setup::start().await;
        setup.server.kill();
        let charge = Charge::new(bucket(1), DAILY, 1);
        let lost = Arc::clone(&setup.store)
            .decide(charge.into(), Tick::ZERO)
            .await;
        assert!(lost.is_err(), "{lost:?}");
        assert_eq!(setup.store.state(), State::Down);
        let (clock, time) = Clock::manual();
        Self(before(&setup.store), clock, time)
    }
}

#[async_trait]
impl Fixture for Down {
    fn store(&self) -> Arc<dyn RateLimitStore> {
        self.0.clone()
    }

    fn now(&self) -> Tick {
        self.1.now()
    }

    async fn advance(&self, by: Duration) {
        self.2.advance(by);
    }

    fn is_degraded(&self) -> bool {
        true
    }
}

mod down {
    crate::conformance!(super::Down::start().await);
}
