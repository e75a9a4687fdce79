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
    BucketId, By, Charge, Charges, Decision, Error, Fallback, Leases, Limiter, MemoryStore, Mode,
    OnFailure, Quota, RateLimitStore, RedisStore, Rule, Rules, Subject, Verdict,
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

const USERS: usize = 8;
const BURST: u32 = 10;
const PER_SECOND: u32 = 40;
/// What a replica may not have heard of, at most.
const LAG: Duration = Duration::from_millis(100);

/// All users ask all the time, while a primary is killed and its replica takes over.
#[derive(Debug)]
struct Failover {
    began: Tick,
    killed: Tick,
    back: Tick,
    ended: Tick,
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    /// By user, the moments at which they were admitted.
    admitted: [Vec<Tick>; USERS],
    longest: Duration,
    /// Verdicts without the store, by whether they admit.
    allowed: u32,
    refused: u32,
}

impl Seen {
    fn add(&mut self, user: usize, at: Tick, took: Duration, verdict: &Verdict) {
        self.longest = self.longest.max(took);
        match verdict {
            Verdict::Allowed(allowed) => {
                self.allowed += u32::from(allowed.degraded());
                self.admitted[user].push(at);
            }
            Verdict::Refused(refused) => self.refused += u32::from(refused.degraded()),
            Verdict::Never(never) => panic!("{never:?}"),
        }
    }
}

impl Failover {
    async fn under_load(cluster: RedisCluster, redis: &Redis, limiter: &Limiter) -> Self {
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
        let killing = tokio::task::spawn_blocking(move || {
            let mut cluster = cluster;
            cluster.kill_primary_of(&victim);
            cluster
        });
        let cluster = killing.await.expect("no panic");
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
        // A deadline may have been missed just now.
        clock
            .within(PATIENT, changes.until(State::Up))
            .await
            .expect("nobody asks any more");
        drop(cluster);
        let seen = std::mem::take(&mut *seen.lock().expect("no panic"));
        Self {
            began,
            killed,
            back,
            ended,
            seen,
        }
    }

    /// Each user was admitted no more often than the quota says, what the replica had not heard of,
    /// and `extra`; and once it had taken over, was admitted again.
    fn keeps_the_quota(&self, deadline: Duration, extra: u64) {
        for (user, admitted) in self.seen.admitted.iter().enumerate() {
            let lost = admitted.iter().filter(|&&at| {
                at <= self.killed + deadline && self.killed.saturating_duration_since(at) < LAG
            });
            let time = self
                .ended
                .saturating_duration_since(self.began)
                .as_secs_f64();
            let most = f64::from(BURST)
                + f64::from(PER_SECOND) * time
                + lost.count() as f64
                + extra as f64;
            assert!(
                admitted.len() as f64 <= most,
                "{} of {most} for {user}",
                admitted.len()
            );
            let again = admitted.iter().filter(|&&at| at > self.back).count();
            assert!(again > 0, "user {user} is not admitted again");
        }
    }

    fn kept_nobody_waiting(&self, deadline: Duration) {
        let longest = self.seen.longest;
        assert!(
            longest < deadline + SCHEDULING,
            "somebody waited {longest:?}"
        );
    }
}

fn failover_rules(on_failure: OnFailure) -> Rules {
    let rule = |by| Rule::always().by(by).if_store_fails(on_failure);
    let quota = Quota::per_second(PER_SECOND).burst(BURST);
    Rules::new().rule("user", rule(By::User).quota(quota)).rule(
        "everyone",
        rule(By::Everyone).quota(Quota::per_second(100_000)),
    )
}

/// One line each time that the switch was thrown, but for the first time, which is the beginning;
/// and nothing else. It may fall again, where the replica that took over misses a deadline.
fn a_line_for_each_switch(log: &Log, redis: &Redis) {
    let (stats, lines) = (redis.stats(), log.lines());
    assert_eq!(stats.risen, stats.fallen + 1, "it is up: {lines:#?}");
    let said = |text: &str| lines.iter().filter(|line| line.contains(text)).count() as u64;
    assert_eq!(said("down: "), stats.fallen, "{lines:#?}");
    assert_eq!(said("back: "), stats.fallen, "{lines:#?}");
    assert_eq!(lines.len() as u64, 2 * stats.fallen, "{lines:#?}");
}

/// On one thread, the one that the log is taken from.
#[tokio::test]
async fn over_a_failover_the_limits_hold_and_nobody_waits() {
    let deadline = Duration::from_millis(100);
    let log = Log::capture(Level::WARN);
    let cluster = RedisCluster::start();
    let redis = connect(&cluster, deadline).await;
    let limiter = Limiter::builder(failover_rules(OnFailure::Closed))
        .store(RedisStore::new(redis.clone()))
        .build()
        .expect("valid rules");
    let failover = Failover::under_load(cluster, &redis, &limiter).await;
    failover.kept_nobody_waiting(deadline);
    failover.keeps_the_quota(deadline, 0);
    assert!(failover.seen.refused > 0, "nobody noticed");
    assert_eq!(failover.seen.allowed, 0, "closed while the store is down");
    let fallen = redis.stats().fallen;
    assert!((1..=3).contains(&fallen), "it fell {fallen} times");
    a_line_for_each_switch(&log, &redis);
}

/// With the deadline that there is without settings.
#[tokio::test]
async fn over_a_failover_a_fallback_goes_on_admitting_and_nobody_waits() {
    let log = Log::capture(Level::WARN);
    let cluster = RedisCluster::start();
    let endpoint = Endpoint::cluster(cluster.urls()).expect("addresses");
    let redis = Redis::connect(endpoint, Options::new())
        .await
        .expect("it is there");
    let store = Fallback::new(RedisStore::new(redis.clone()), MemoryStore::bounded(1_000));
    let limiter = Limiter::builder(failover_rules(OnFailure::Local))
        .store(store)
        .build()
        .expect("valid rules");
    let failover = Failover::under_load(cluster, &redis, &limiter).await;
    failover.kept_nobody_waiting(redis.deadline());
    // What is admitted without it, the primary does not learn: up to a burst each time.
    let bursts = redis.stats().fallen * u64::from(BURST);
    failover.keeps_the_quota(redis.deadline(), bursts);
    assert!(failover.seen.allowed > 0, "nobody noticed");
    assert_eq!(limiter.stats().failed, 0);
    a_line_for_each_switch(&log, &redis);
}

/// Leases of buckets in several slots: what is asked for them is taken from all or from none, and all
/// that is unspent comes back to where it was.
#[tokio::test]
async fn buckets_of_several_slots_are_leased_together() {
    let cluster = RedisCluster::start();
    let redis = connect(&cluster, PATIENT).await;
    let store = Arc::new(RedisStore::new(redis));
    let leases = Arc::new(Leases::of(Arc::clone(&store), 100));
    let quota = SLOW.burst(200);
    let charges: Vec<Charge> = (0..3)
        .map(|number| charge(number, quota).leased(20))
        .collect();
    let admits = async |charges: &[Charge]| {
        if let Some(decision) = leases.try_decide(charges, Tick::ZERO) {
            return decision.is_admitted();
        }
        let charges = Charges::try_from(charges).expect("no more than eight");
        let decided = Arc::clone(&leases).decide(charges, Tick::ZERO).await;
        decided.expect("it works").is_admitted()
    };
    let before = scripts(&cluster);
    for _ in 0..100 {
        assert!(admits(&charges).await);
    }
    let asked = (scripts(&cluster) - before) / 3;
    assert!(asked < 20, "{asked} questions");

    let empty = [charge(7, quota), charges[0]];
    for _ in 0..200 {
        assert!(admits(&empty[..1]).await);
    }
    let spent = leases.stats().spent;
    assert!(!admits(&empty).await);
    assert_eq!(leases.stats().spent, spent);

    leases.release().await;
    let stats = leases.stats();
    assert_eq!(
        (stats.outstanding, stats.lost, store.forfeited()),
        (0, 0, 0)
    );
    assert_eq!(stats.taken, stats.spent + stats.returned);
    for number in 0..3 {
        assert_eq!(remaining(&store, number, quota).await, 100);
    }
}
