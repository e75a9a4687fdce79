//! The Redis store on a real cluster, by the servers' own clocks.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use pm_core::degrade::State;
use pm_core::redis::{Endpoint, Options, Redis};
use pm_core::{Clock, Tick};
use pm_ratelimit::{
    BucketId, By, Charge, Charges, Decision, Error, Limiter, Mode, OnFailure, Quota,
    RateLimitStore, RedisStore, Rule, Rules, Subject, Verdict,
};
use pm_testing::{Log, RedisCluster};
use tracing::Level;

/// What a busy machine may add to a deadline until whoever waits is run again.
const SCHEDULING: Duration = Duration::from_millis(200);

/// With a deadline that a machine that is busy with other tests does not miss.
const PATIENT: Duration = Duration::from_secs(20);

const SLOW: Quota = Quota::per_day(1);

async fn connect(cluster: &RedisCluster, deadline: Duration) -> Redis {
    let endpoint = Endpoint::cluster(cluster.urls()).expect("addresses");
    let options = Options::new().with_deadline(deadline);
    Redis::connect(endpoint, options)
        .await
        .expect("it is there")
}

fn bucket(number: u128) -> BucketId {
    BucketId::from_u128(number << 64 | 7)
}

fn key(number: u128) -> String {
    format!("pm:ratelimit:{:032x}", bucket(number).as_u128())
}

fn charge(number: u128, quota: Quota) -> Charge {
    Charge::new(bucket(number), quota, 1)
}

async fn try_decide(store: &Arc<RedisStore>, charges: &[Charge]) -> Result<Decision, Error> {
    let charges = Charges::try_from(charges).expect("no more than eight");
    Arc::clone(store).decide(charges, Tick::ZERO).await
}

async fn decide(store: &Arc<RedisStore>, charges: &[Charge]) -> Decision {
    try_decide(store, charges).await.expect("it works")
}

async fn remaining(store: &Arc<RedisStore>, number: u128, quota: Quota) -> u32 {
    let look = charge(number, quota).with_mode(Mode::Peek);
    decide(store, &[look]).await.outcomes()[0].remaining()
}

/// Scripts that were sent, by their digest.
fn scripts(cluster: &RedisCluster) -> u64 {
    let nodes = cluster.nodes().iter();
    nodes.map(|node| node.calls("evalsha")).sum()
}

/// The first buckets from `from` on that are served by different primaries.
fn apart<const N: usize>(cluster: &mut RedisCluster, from: u128) -> [u128; N] {
    let mut ports = Vec::new();
    let numbers = (from..).filter(|&number| {
        let port = cluster.primary_of(&key(number)).port();
        let is_new = !ports.contains(&port);
        ports.push(port);
        is_new
    });
    let numbers: Vec<u128> = numbers.take(N).collect();
    numbers.try_into().expect("that many")
}

#[tokio::test]
async fn a_script_for_each_slot_that_is_touched_and_one_for_each_that_gives_back() {
    let cluster = RedisCluster::start();
    let redis = connect(&cluster, PATIENT).await;
    let slots = (0..8).map(|number| redis.slot(key(number)));
    let slots: std::collections::HashSet<_> = slots.collect();
    assert_eq!(slots.len(), 8, "the buckets are in as many slots");
    let together = RedisStore::new(redis.clone()).with_prefix("{shop}:limits:");
    let stores = [(RedisStore::new(redis), 8, 8 + 7), (together, 1, 1)];
    for (store, admitted, refused) in stores {
        let store = Arc::new(store);
        let quota = SLOW.burst(3);
        let charges: Vec<Charge> = (0..8).map(|number| charge(number, quota)).collect();
        // The servers get to know the scripts.
        for number in 0..64 {
            let (own, other) = (bucket(1_000 + number), bucket(2_000 + number));
            let never = Charge::new(other, quota, 4);
            assert!(
                !decide(&store, &[Charge::new(own, quota, 1), never])
                    .await
                    .is_admitted()
            );
        }
        let before = scripts(&cluster);
        assert!(decide(&store, &charges).await.is_admitted());
        assert_eq!(scripts(&cluster) - before, admitted);
        assert!(decide(&store, &charges[3..4]).await.is_admitted());
        assert!(decide(&store, &charges[3..4]).await.is_admitted());

        let before = scripts(&cluster);
        assert!(!decide(&store, &charges).await.is_admitted());
        assert_eq!(scripts(&cluster) - before, refused);
        assert_eq!(store.forfeited(), 0);
        for number in 0..8 {
            let left = remaining(&store, number, quota).await;
            assert_eq!(left, if number == 3 { 0 } else { 2 });
        }
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_nothing_taken() {
    let mut cluster = RedisCluster::start();
    let store = Arc::new(RedisStore::new(connect(&cluster, PATIENT).await));
    let [shared, own] = apart(&mut cluster, 0);
    let quota = SLOW.burst(1);
    assert!(decide(&store, &[charge(own, quota)]).await.is_admitted());
    let before = scripts(&cluster);
    for _ in 0..20 {
        let charges = [charge(shared, quota), charge(own, quota)];
        let mut deciding = pin!(try_decide(&store, &charges));
        poll_fn(|cx| {
            assert!(deciding.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }
    let clock = Clock::system();
    let given_back = async {
        // Some may have been refused for what others held, and had nothing to give back.
        while scripts(&cluster) - before < 41 || remaining(&store, shared, quota).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    clock
        .within(PATIENT, given_back)
        .await
        .expect("it is given back");
    assert!(decide(&store, &[charge(shared, quota)]).await.is_admitted());
}

#[tokio::test]
async fn what_one_server_cannot_decide_stays_taken_on_the_others_unless_another_refuses() {
    let mut cluster = RedisCluster::start();
    let redis = connect(&cluster, PATIENT).await;
    let store = Arc::new(RedisStore::new(redis.clone()));
    let [full, works, empty] = apart(&mut cluster, 0);
    let quota = SLOW.burst(5);
    let all = Charge::new(bucket(empty), quota, 5);
    assert!(decide(&store, &[all]).await.is_admitted());
    // It answers, and refuses to write.
    let _ = cluster
        .primary_of(&key(full))
        .ask(&["CONFIG", "SET", "maxmemory", "1"]);

    let undecided = try_decide(&store, &[charge(full, quota), charge(works, quota)]).await;
    assert!(
        matches!(undecided, Err(Error::Unavailable(_))),
        "{undecided:?}"
    );
    assert_eq!(remaining(&store, works, quota).await, 4, "only tightens");

    let charges = [full, empty, works].map(|number| charge(number, quota));
    let refused = decide(&store, &charges).await;
    assert!(!refused.is_admitted());
    let outcomes = refused.outcomes();
    assert!(!outcomes[0].is_known());
    assert!(!outcomes[1].is_allowed() && outcomes[1].retry_after().is_some());
    assert_eq!(
        (outcomes[2].is_allowed(), outcomes[2].remaining()),
        (true, 4)
    );
    assert_eq!(remaining(&store, works, quota).await, 4);
    assert_eq!((redis.state(), redis.stats().fallen), (State::Up, 0));
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_no_more_than_the_deadline() {
    let mut cluster = RedisCluster::start();
    let deadline = Duration::from_millis(50);
    let redis = connect(&cluster, PATIENT).await;
    let store = Arc::new(RedisStore::new(redis.clone()));
    let [hangs, empty, works] = apart(&mut cluster, 0);
    let quota = SLOW.burst(5);
    let all = Charge::new(bucket(empty), quota, 5);
    assert!(decide(&store, &[all]).await.is_admitted());
    cluster.primary_of(&key(hangs)).pause();

    let store = Arc::new(RedisStore::new(redis.clone().with_deadline(deadline)));
    let clock = Clock::system();
    let charges = [hangs, empty, works].map(|number| charge(number, quota));
    let began = clock.now();
    let refused = decide(&store, &charges).await;
    let took = clock.now().saturating_duration_since(began);
    assert!(took < deadline + SCHEDULING, "waited {took:?}");
    assert!(!refused.is_admitted(), "another server has refused");
    assert!(!refused.outcomes()[0].is_known());
    assert_eq!(redis.state(), State::Down);
    // The handle has just found out that a server is gone, and sends nothing any more.
    assert_eq!(store.forfeited(), 1);
    let began = clock.now();
    let undecided = try_decide(&store, &charges).await;
    let took = clock.now().saturating_duration_since(began);
    assert!(
        matches!(undecided, Err(Error::Unavailable(_))),
        "{undecided:?}"
    );
    assert!(took < SCHEDULING, "waited {took:?}");
    cluster.primary_of(&key(hangs)).resume();
}

/// Four who have nothing left, and ask all the time for that together with a bucket that all share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_neither_use_a_shared_bucket_up_nor_let_it_give_more() {
    let cluster = RedisCluster::start();
    let store = Arc::new(RedisStore::new(connect(&cluster, PATIENT).await));
    let (burst, per_second) = (20u32, 100u32);
    let shared = charge(0, Quota::per_second(per_second).burst(burst));
    let done = Arc::new(AtomicBool::new(false));
    let abusers: Vec<_> = (1..=4)
        .map(|number| {
            let (store, done) = (Arc::clone(&store), Arc::clone(&done));
            tokio::spawn(async move {
                let own = charge(number, SLOW);
                assert!(decide(&store, &[own]).await.is_admitted());
                let mut refused = 0u32;
                while !done.load(Ordering::Relaxed) {
                    assert!(!decide(&store, &[own, shared]).await.is_admitted());
                    refused += 1;
                }
                refused
            })
        })
        .collect();
    let clock = Clock::system();
    let (began, mut admitted, mut number) = (clock.now(), 0, 100);
    let since = || clock.now().saturating_duration_since(began).as_secs_f64();
    while since() < 2.0 {
        number += 1;
        let own = charge(number, SLOW);
        admitted += u32::from(decide(&store, &[own, shared]).await.is_admitted());
    }
    let most = f64::from(burst) + f64::from(per_second) * since();
    done.store(true, Ordering::Relaxed);
    let mut refused = 0;
    for abuser in abusers {
        refused += abuser.await.expect("no panic");
    }
    assert!(f64::from(admitted) <= most, "{admitted} of {most}");
    assert!(
        f64::from(admitted) >= most / 2.0,
        "only {admitted} of {most} beside {refused} refusals"
    );
    assert!(refused > admitted, "they did not even try");
}

/// Everybody who asks, in turn; and what happened to each, and when.
#[derive(Default)]
struct Seen {
    /// By user, the moments at which they were admitted.
    admitted: [Vec<Tick>; USERS],
    longest: Duration,
    degraded: u32,
}

const USERS: usize = 8;

impl Seen {
    fn add(&mut self, user: usize, at: Tick, took: Duration, verdict: &Verdict) {
        self.longest = self.longest.max(took);
        match verdict {
            Verdict::Allowed(allowed) => {
                assert!(!allowed.degraded(), "closed while the store is down");
                self.admitted[user].push(at);
            }
            Verdict::Refused(refused) => self.degraded += u32::from(refused.degraded()),
            Verdict::Never(never) => panic!("{never:?}"),
        }
    }
}

/// On one thread, the one that the log is taken from.
#[tokio::test]
async fn over_a_failover_the_limits_hold_and_nobody_waits() {
    const DEADLINE: Duration = Duration::from_millis(100);
    // What a replica may not have heard of, at most.
    const LAG: Duration = Duration::from_millis(100);
    let log = Log::capture(Level::WARN);
    let cluster = RedisCluster::start();
    let redis = connect(&cluster, DEADLINE).await;
    let (burst, per_second) = (10u32, 40u32);
    let quota = Quota::per_second(per_second).burst(burst);
    let rule = |by| Rule::always().by(by).if_store_fails(OnFailure::Closed);
    let rules = Rules::new().rule("user", rule(By::User).quota(quota)).rule(
        "everyone",
        rule(By::Everyone).quota(Quota::per_second(100_000)),
    );
    let limiter = Limiter::builder(rules)
        .store(RedisStore::new(redis.clone()))
        .build()
        .expect("valid rules");

    let clock = Clock::system();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let done = Arc::new(AtomicBool::new(false));
    let began = clock.now();
    let load: Vec<_> = (0..USERS)
        .map(|user| {
            let (limiter, clock) = (limiter.clone(), clock.clone());
            let (seen, done) = (Arc::clone(&seen), Arc::clone(&done));
            tokio::spawn(async move {
                let name = format!("user {user}");
                while !done.load(Ordering::Relaxed) {
                    let asked = clock.now();
                    let verdict = limiter.check(&Subject::user(&name), 1).await;
                    let answered = clock.now();
                    let took = answered.saturating_duration_since(asked);
                    seen.lock()
                        .expect("no panic")
                        .add(user, answered, took, &verdict);
                    clock
                        .sleep_until(clock.now() + Duration::from_millis(2))
                        .await;
                }
            })
        })
        .collect();
    let pause = |millis| clock.sleep_until(clock.now() + Duration::from_millis(millis));
    pause(1_000).await;

    let keys = cluster
        .nodes()
        .iter()
        .map(|node| node.ask(&["KEYS", "pm:ratelimit:*"]));
    let keys: String = keys.collect::<Vec<_>>().join("\n");
    let victim = keys
        .lines()
        .find(|key| !key.is_empty())
        .expect("a bucket")
        .to_owned();
    let mut changes = redis.changes();
    let killed = clock.now();
    let cluster = tokio::task::spawn_blocking(move || {
        let mut cluster = cluster;
        cluster.kill_primary_of(&victim);
        cluster
    });
    let cluster = cluster.await.expect("no panic");
    let switched = async {
        changes.until(State::Down).await;
        changes.until(State::Up).await;
    };
    clock
        .within(PATIENT, switched)
        .await
        .expect("a replica takes over");
    let back = clock.now();
    pause(1_000).await;
    done.store(true, Ordering::Relaxed);
    for task in load {
        task.await.expect("no panic");
    }
    let ended = clock.now();
    drop(cluster);

    let seen = seen.lock().expect("no panic");
    assert!(
        seen.longest < DEADLINE + SCHEDULING,
        "somebody waited {:?}",
        seen.longest
    );
    assert!(seen.degraded > 0, "nobody noticed");
    for (user, admitted) in seen.admitted.iter().enumerate() {
        let lost = admitted
            .iter()
            .filter(|&&at| at <= killed + DEADLINE && killed.saturating_duration_since(at) < LAG);
        let time = ended.saturating_duration_since(began).as_secs_f64();
        let most = f64::from(burst) + f64::from(per_second) * time + lost.count() as f64;
        assert!(
            admitted.len() as f64 <= most,
            "{} of {most} for {user}",
            admitted.len()
        );
        let again = admitted.iter().filter(|&&at| at > back).count();
        assert!(again > 0, "user {user} is not admitted again");
    }
    let stats = redis.stats();
    assert_eq!(
        (stats.fallen, stats.risen),
        (1, 2),
        "the first is the beginning"
    );
    let lines = log.lines();
    let switches: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("switch="))
        .collect();
    assert_eq!(
        switches.len(),
        2,
        "one line in each direction: {switches:#?}"
    );
}
