//! The script under a clock that a test moves: the server's own is replaced in its text, and nothing
//! else. It starts in the year 2100, so that nothing expires by the real one.

mod fallback;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pm_core::redis::{Endpoint, Options};
use pm_testing::RedisServer;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::store::conformance::Fixture;
use crate::{BucketId, MemoryStore, Mode, Outcome, Quota};

mod cluster;
mod refund;

/// The value of a key, as text.
const HEXADECIMAL: &str = "return (redis.call('GET', KEYS[1]):gsub('.', function(byte) \
     return string.format('%02x', byte:byte()) end))";

const START: u64 = 4_102_444_800_000_000;

/// A store whose scripts take the time from `clock` instead.
fn timed(redis: Redis, clock: &str) -> RedisStore {
    let by_clock = |script: &str| {
        let time = "redis.call('TIME')";
        assert_eq!(script.matches(time).count(), 1);
        Script::new(script.replace(time, clock))
    };
    RedisStore {
        decide: by_clock(DECIDE),
        refund: by_clock(REFUND),
        ..RedisStore::new(redis)
    }
}

pub(in crate::store) struct Setup {
    pub(in crate::store) server: RedisServer,
    pub(in crate::store) store: Arc<RedisStore>,
    /// Microseconds that the server's clock shows.
    now: AtomicU64,
}

impl Setup {
    pub(in crate::store) async fn start() -> Self {
        let server = RedisServer::start();
        let endpoint = Endpoint::single(&server.url()).expect("an address");
        // A machine that is busy with other tests misses the default.
        let options = Options::new().with_deadline(Duration::from_secs(20));
        let redis = Redis::connect(endpoint, options)
            .await
            .expect("it is there");
        let setup = Self {
            server,
            store: Arc::new(timed(redis, "redis.call('HMGET', 'time', 's', 'us')")),
            now: AtomicU64::new(0),
        };
        setup.set(START);
        setup
    }

    fn set(&self, now: u64) {
        self.now.store(now, Ordering::Relaxed);
        let (seconds, micros) = (now / 1_000_000, now % 1_000_000);
        let (seconds, micros) = (seconds.to_string(), micros.to_string());
        let _ = self
            .server
            .ask(&["HSET", "time", "s", &seconds, "us", &micros]);
    }

    pub(in crate::store) async fn decide(&self, charges: &[Charge]) -> Decision {
        let charges = Charges::try_from(charges).expect("no more than eight");
        let store = Arc::clone(&self.store);
        store.decide(charges, Tick::ZERO).await.expect("it works")
    }

    /// All buckets, byte for byte, and when they expire, which is told in milliseconds.
    fn buckets(&self) -> BTreeMap<String, (String, u64)> {
        let keys = self.server.ask(&["KEYS", "pm:ratelimit:*"]);
        let keys = keys.lines().filter(|key| !key.is_empty());
        keys.map(|key| {
            let value = self.server.ask(&["EVAL", HEXADECIMAL, "1", key]);
            (key.to_owned(), (value, self.expires(key)))
        })
        .collect()
    }

    /// When a key expires, in milliseconds by the server's own clock. To be asked for that directly
    /// is new in Redis 7; before it, a script sees its clock move, so it is asked until it does not.
    fn expires(&self, key: &str) -> u64 {
        let script = "local function ms() local t = redis.call('TIME') \
             return t[1] * 1000 + math.floor(t[2] / 1000) end \
             local before, left = ms(), redis.call('PTTL', KEYS[1]) \
             return {before, left, ms()}";
        loop {
            let answer = self.server.ask(&["EVAL", script, "1", key]);
            let numbers: Vec<i64> = answer
                .lines()
                .map(|line| line.parse().expect("a number"))
                .collect();
            if numbers[0] == numbers[2] {
                assert!(numbers[1] > 0, "{key} does not expire");
                return u64::try_from(numbers[0] + numbers[1]).expect("a moment");
            }
        }
    }
}

#[async_trait]
impl Fixture for Setup {
    fn store(&self) -> Arc<dyn RateLimitStore> {
        Arc::clone(&self.store) as Arc<dyn RateLimitStore>
    }

    fn now(&self) -> Tick {
        Tick::from_nanos(self.now.load(Ordering::Relaxed) * 1_000)
    }

    async fn advance(&self, by: Duration) {
        // The clock of the server has microseconds, and what is told may end between two of them.
        let micros = by.as_nanos().div_ceil(1_000);
        let micros = u64::try_from(micros).expect("within a lifetime");
        self.set(self.now.load(Ordering::Relaxed) + micros);
    }
}

mod conformance {
    crate::conformance!(super::Setup::start().await);
}

/// A store around that one.
pub(in crate::store) struct Around(Setup, Arc<dyn RateLimitStore>);

impl Around {
    pub(in crate::store) async fn start(
        store: impl FnOnce(&Arc<RedisStore>) -> Arc<dyn RateLimitStore>,
    ) -> Self {
        let setup = Setup::start().await;
        let store = store(&setup.store);
        Self(setup, store)
    }
}

#[async_trait]
impl Fixture for Around {
    fn store(&self) -> Arc<dyn RateLimitStore> {
        self.1.clone()
    }

    fn now(&self) -> Tick {
        self.0.now()
    }

    async fn advance(&self, by: Duration) {
        self.0.advance(by).await;
    }
}

fn bucket(number: u64) -> BucketId {
    BucketId::from_u128(u128::from(number) << 64 | 7)
}

#[tokio::test]
async fn allowed_rates_on_redis_are_those_of_the_quota() {
    crate::store::rates::are_those_of_the_quota(&Setup::start().await).await;
}

const DAILY: Quota = Quota::per_day(1);

#[tokio::test]
async fn a_refusal_changes_nothing_bit_for_bit() {
    let setup = Setup::start().await;
    let quota = DAILY.burst(3);
    let charge = |number, cost| Charge::new(bucket(number), quota, cost);
    assert!(
        setup
            .decide(&[charge(0, 1), charge(1, 3)])
            .await
            .is_admitted()
    );
    let before = setup.buckets();
    assert_eq!(before.len(), 2);
    setup.advance(Duration::from_secs(5)).await;
    for list in [
        &[charge(1, 1)][..],
        &[charge(0, 1), charge(1, 1), charge(2, 1)],
        &[charge(0, 2), charge(0, 2)],
        &[charge(3, 1).with_mode(Mode::Shadow), charge(0, 4)],
    ] {
        assert!(!setup.decide(list).await.is_admitted());
        assert_eq!(setup.buckets(), before);
    }
    let peek = charge(0, 1).with_mode(Mode::Peek);
    assert!(setup.decide(&[peek]).await.is_admitted());
    assert_eq!(setup.buckets(), before, "a look changed something");
}

#[tokio::test]
async fn a_bucket_expires_when_it_is_full_and_not_before() {
    let setup = Setup::start().await;
    let quota = Quota::new(3, Duration::from_secs(10));
    assert!(
        setup
            .decide(&[Charge::new(bucket(0), quota, 2)])
            .await
            .is_admitted()
    );
    let buckets = setup.buckets();
    let (_, expires) = buckets.values().next().expect("one bucket");
    let full = START * 1_000 + 2 * quota.interval_nanos();
    let late = (expires * 1_000_000).checked_sub(full).expect("not before");
    assert!(late < 3_000_000, "{late} ns late");
}

#[tokio::test]
async fn a_clock_that_steps_back_admits_no_more_and_the_wait_is_exact() {
    let setup = Setup::start().await;
    let quota = Quota::per_second(10);
    let all = Charge::new(bucket(0), quota, 10);
    let one = Charge::new(bucket(0), quota, 1);
    assert!(setup.decide(&[all]).await.is_admitted());
    setup.set(START - 60_000_000);
    let refused = setup.decide(&[one]).await;
    assert!(!refused.is_admitted());
    let wait = refused.outcomes()[0].retry_after();
    assert_eq!(wait, Some(Duration::from_millis(60_100)));
    setup.advance(Duration::from_micros(60_099_999)).await;
    assert!(!setup.decide(&[one]).await.is_admitted());
    setup.advance(Duration::from_micros(1)).await;
    assert!(setup.decide(&[one]).await.is_admitted());

    // What is written is paid back by the new clock.
    let half = Charge::new(bucket(1), quota, 5);
    assert!(setup.decide(&[half]).await.is_admitted());
    let now = setup.now.load(Ordering::Relaxed);
    setup.set(now - 3_600_000_000);
    assert!(setup.decide(&[half]).await.is_admitted());
    let refused = setup.decide(&[half]).await;
    let wait = refused.outcomes()[0].retry_after();
    assert_eq!(wait, Some(Duration::from_millis(500)));
}

/// The same decision by a clock that ticks in microseconds.
fn in_ticks(decision: &Decision) -> Decision {
    let outcomes = decision.outcomes().iter().map(|outcome| {
        if outcome.retry_after().is_none() {
            return *outcome;
        }
        let wait = outcome.wait_nanos().next_multiple_of(1_000);
        Outcome::waits(outcome.remaining(), outcome.reset_nanos(), wait)
    });
    if decision.is_admitted() {
        Decision::admitted(outcomes)
    } else {
        Decision::refused(outcomes)
    }
}

/// Far from each other, and with intervals that do not divide anything.
fn quotas() -> impl Strategy<Value = Quota> {
    let quota =
        |(tokens, millis, burst)| Quota::try_new(tokens, Duration::from_millis(millis), burst);
    prop_oneof![
        4 => (1u32..50, 100u64..100_000, 1u32..30),
        2 => (1u32..2_000_000, 1u64..100_000_000, 1u32..4_000_000_000),
        1 => (1u32..9, 60_000_000u64..31_622_400_000, 1u32..30),
    ]
    .prop_filter_map("within the limits of a quota", move |of| quota(of).ok())
    // More than fifty days for a token is where a change of quota is not compared to the nanosecond.
    .prop_filter("fifty days", |quota| {
        quota.interval() < Duration::from_secs(50 * 86_400)
    })
}

fn charges() -> impl Strategy<Value = Vec<(u64, usize, u32, u32, u8)>> {
    proptest::collection::vec((0u64..4, 0usize..3, 0u32..12, 0u32..40, 0u8..6), 1..5)
}

#[tokio::test]
async fn a_year_for_a_token_is_kept_and_changed_never_in_the_caller_s_favour() {
    let setup = Setup::start().await;
    let memory = MemoryStore::bounded(1_000);
    let days = |days: u64| Duration::from_secs(days * 86_400);
    let quotas = [
        Quota::new(1, days(366)).burst(50),
        Quota::new(3, days(365)).burst(9),
        Quota::new(7, Duration::from_millis(1_001)).burst(11),
        Quota::new(1, days(52)).burst(13),
        Quota::new(1, days(366)).burst(100),
    ];
    for (at, quota) in quotas.iter().cycle().take(20).enumerate() {
        setup.advance(Duration::from_millis(3)).await;
        let charge = Charge::new(bucket(1), *quota, u32::from(at == 0) * 50).with_ceiling(100);
        let ours = setup.decide(&[charge]).await;
        let theirs = memory.try_decide(&[charge], setup.now()).expect("at once");
        let reset = |decision: &Decision| decision.outcomes()[0].reset_nanos();
        let more = reset(&ours).checked_sub(reset(&theirs)).expect("no less");
        // A microsecond of a year is worth less than that of a second, hence in parts of a token.
        let bound = 10_000 + quota.interval_nanos() / 10_000;
        assert!(more <= bound, "{more} ns more after {at} changes, {quota}");
        assert_eq!(
            ours.outcomes()[0].remaining(),
            theirs.outcomes()[0].remaining()
        );
    }
}

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "how long tests run is said in the environment"
)]
fn it_decides_as_memory_does_also_when_quotas_change() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let setup = runtime.block_on(Setup::start());
    let cases_before = AtomicU64::new(0);
    let cases = if std::env::var_os("PM_TEST_LONG").is_some() {
        2_000
    } else {
        60
    };
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let steps = proptest::collection::vec((0u64..4_000, charges()), 1..40);
    let run = runner.run(
        &([quotas(), quotas(), quotas()], steps),
        |(quotas, steps)| {
            // Buckets that no earlier case has used.
            let base = 10 * cases_before.fetch_add(1, Ordering::Relaxed);
            let memory = Arc::new(MemoryStore::bounded(1_000));
            for (wait, list) in steps {
                let shortest = quotas.iter().map(Quota::interval_nanos).min().unwrap_or(0);
                // In thousandths of an interval, so that moments fall between tokens.
                let wait = Duration::from_nanos(wait * shortest / 1_000_000 * 1_000);
                runtime.block_on(setup.advance(wait));
                let mut list: Vec<Charge> = list
                    .into_iter()
                    .map(|(number, quota, cost, ceiling, mode)| {
                        let mode = [Mode::Peek, Mode::Shadow]
                            .get(usize::from(mode))
                            .copied()
                            .unwrap_or_default();
                        Charge::new(bucket(base + number), quotas[quota], cost)
                            .with_ceiling(ceiling)
                            .with_mode(mode)
                    })
                    .collect();
                // What is put back after a change of quota is where memory is stricter.
                list.sort_by_key(Charge::bucket);
                list.dedup_by_key(|charge| charge.bucket());
                let ours = runtime.block_on(setup.decide(&list));
                let theirs = memory.try_decide(&list, setup.now()).expect("at once");
                prop_assert_eq!(ours, in_ticks(&theirs), "{:?}", list);
            }
            Ok(())
        },
    );
    if let Err(failure) = run {
        panic!("{failure}");
    }
}
