//! The suite on a real cluster, where a script can read no clock that it shares with others: the
//! time is written into its text, which is another one whenever the clock moves.

use std::sync::Mutex;

use pm_testing::RedisCluster;

use super::*;

struct Setup {
    _cluster: RedisCluster,
    store: Arc<Timed>,
}

/// The store that decides now.
#[derive(Debug)]
struct Timed {
    redis: Redis,
    current: Mutex<(u64, Arc<RedisStore>)>,
}

impl Timed {
    fn new(redis: Redis) -> Self {
        let current = Mutex::new((START, Self::at(&redis, START)));
        Self { redis, current }
    }

    fn at(redis: &Redis, now: u64) -> Arc<RedisStore> {
        let clock = format!("{{ '{}', '{}' }}", now / 1_000_000, now % 1_000_000);
        Arc::new(timed(redis.clone(), &clock))
    }

    fn now(&self) -> u64 {
        self.current.lock().expect("no panic").0
    }

    fn set(&self, now: u64) {
        *self.current.lock().expect("no panic") = (now, Self::at(&self.redis, now));
    }
}

#[async_trait]
impl RateLimitStore for Timed {
    fn try_decide(&self, _: &[Charge], _: Tick) -> Option<Decision> {
        None
    }

    async fn decide(self: Arc<Self>, charges: Charges, now: Tick) -> Result<Decision, Error> {
        let store = Arc::clone(&self.current.lock().expect("no panic").1);
        store.decide(charges, now).await
    }
}

impl Setup {
    async fn start() -> Self {
        let cluster = RedisCluster::start();
        let endpoint = Endpoint::cluster(cluster.urls()).expect("addresses");
        let options = Options::new().with_deadline(Duration::from_secs(20));
        let redis = Redis::connect(endpoint, options)
            .await
            .expect("it is there");
        let store = Arc::new(Timed::new(redis));
        Self {
            _cluster: cluster,
            store,
        }
    }
}

#[async_trait]
impl Fixture for Setup {
    fn store(&self) -> Arc<dyn RateLimitStore> {
        Arc::clone(&self.store) as Arc<dyn RateLimitStore>
    }

    fn now(&self) -> Tick {
        Tick::from_nanos(self.store.now() * 1_000)
    }

    async fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_nanos().div_ceil(1_000)).expect("within a lifetime");
        self.store.set(self.store.now() + micros);
    }

    fn is_one_step(&self) -> bool {
        false
    }
}

mod suite {
    crate::conformance!(all on super::Setup::start().await);
}
