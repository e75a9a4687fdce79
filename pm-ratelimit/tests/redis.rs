//! The Redis store on a real server, by the server's own clock.

use std::sync::Arc;
use std::time::Duration;

use pm_core::redis::{Endpoint, Options, Redis};
use pm_core::{Clock, Tick};
use pm_ratelimit::emergency::{Emergency, Profile};
use pm_ratelimit::{
    BucketId, By, Charge, Charges, Decision, Error, Limiter, Mode, Quota, RateLimitStore,
    RedisStore, Rule, Rules, Subject, Verdict,
};
use pm_testing::RedisServer;

/// What a busy machine may add to a deadline until whoever waits is run again.
const SCHEDULING: Duration = Duration::from_millis(200);

/// With a deadline that a machine that is busy with other tests does not miss.
async fn connect(server: &RedisServer) -> Redis {
    let endpoint = Endpoint::single(&server.url()).expect("an address");
    let options = Options::new().with_deadline(Duration::from_secs(20));
    Redis::connect(endpoint, options)
        .await
        .expect("it is there")
}

async fn store(server: &RedisServer) -> Arc<RedisStore> {
    Arc::new(RedisStore::new(connect(server).await))
}

async fn decide(store: &Arc<RedisStore>, charges: &[Charge]) -> Decision {
    let charges = Charges::try_from(charges).expect("no more than eight");
    let decided = Arc::clone(store).decide(charges, Tick::ZERO).await;
    decided.expect("it works")
}

fn bucket(number: u128) -> BucketId {
    BucketId::from_u128(number << 64 | 7)
}

#[tokio::test]
async fn eight_charges_are_one_round_trip() {
    let server = RedisServer::start();
    let store = store(&server).await;
    let quota = Quota::per_day(1).burst(50);
    let charges: Vec<Charge> = (0..8)
        .map(|number| Charge::new(bucket(number), quota, 1))
        .collect();
    assert!(decide(&store, &charges).await.is_admitted());
    assert_eq!((server.calls("evalsha"), server.calls("eval")), (1, 1));
    let before = processed(&server);
    for _ in 0..20 {
        assert!(decide(&store, &charges).await.is_admitted());
    }
    let after = processed(&server);
    assert_eq!((server.calls("evalsha"), server.calls("eval")), (21, 1));
    // Each with what it does inside: TIME, MGET and eight SET. And we have asked.
    let inside = 2 + 8;
    assert_eq!(
        after - before,
        20 * (1 + inside) + 1,
        "something else was sent"
    );
}

/// What the server keeps, as it keeps it, and how long yet.
#[tokio::test]
async fn a_refusal_changes_no_bucket_bit_for_bit() {
    let server = RedisServer::start();
    let store = store(&server).await;
    let charge = |number, cost| Charge::new(bucket(number), Quota::per_day(1).burst(9), cost);
    let first = [charge(0, 1), charge(1, 9), charge(2, 8)];
    assert!(decide(&store, &first).await.is_admitted());
    let dumps = || {
        let keys = server.ask(&["KEYS", "*"]);
        let mut keys: Vec<&str> = keys.lines().collect();
        keys.sort_unstable();
        let digest = "return redis.sha1hex(redis.call('DUMP', KEYS[1]))";
        let dumps = keys
            .iter()
            .map(|key| server.ask(&["EVAL", digest, "1", key]));
        let left = keys
            .iter()
            .map(|key| server.ask(&["PTTL", key]).parse().expect("a time"));
        (dumps.collect::<Vec<String>>(), left.collect::<Vec<u64>>())
    };
    let (before, left_before) = dumps();
    assert_eq!(before.len(), 3);
    let eight: Vec<Charge> = (0..8).map(|number| charge(number, 1)).collect();
    let never = [charge(7, 1), charge(0, 10)];
    let shadow = [charge(0, 1).with_mode(Mode::Shadow), charge(2, 2)];
    for list in [&eight[..], &eight[1..2], &never, &shadow] {
        let writes = server.calls("set") + server.calls("del");
        assert!(!decide(&store, list).await.is_admitted());
        assert_eq!(server.calls("set") + server.calls("del"), writes);
        let (after, left) = dumps();
        assert_eq!(after, before);
        for (left, left_before) in left.iter().zip(&left_before) {
            assert!(
                left <= left_before,
                "lives for longer: {left}, {left_before}"
            );
        }
    }
}

/// Commands that the server has processed.
fn processed(server: &RedisServer) -> u64 {
    let stats = server.ask(&["INFO", "stats"]);
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("total_commands_processed:"));
    line.and_then(|count| count.trim().parse().ok())
        .expect("it is counted")
}

#[tokio::test]
async fn three_connections_together_admit_no_more_than_the_quota() {
    let server = RedisServer::start();
    let (burst, per_second) = (20u32, 200u32);
    let charge = Charge::new(bucket(1), Quota::per_second(per_second).burst(burst), 1);
    let clock = Clock::system();
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(store(&server).await);
    }
    let began = clock.now();
    let hammers: Vec<_> = stores
        .into_iter()
        .map(|store| {
            tokio::spawn(async move {
                let mut admitted = 0;
                for _ in 0..300 {
                    admitted += u32::from(decide(&store, &[charge]).await.is_admitted());
                }
                admitted
            })
        })
        .collect();
    let mut admitted = 0;
    for hammer in hammers {
        admitted += hammer.await.expect("no panic");
    }
    let took = clock.now().saturating_duration_since(began);
    let most = f64::from(burst) + f64::from(per_second) * took.as_secs_f64();
    assert!(f64::from(admitted) <= most, "{admitted} in {took:?}");
    assert!(admitted >= burst, "only {admitted} in {took:?}");
}

#[tokio::test]
async fn whoever_waits_as_told_is_admitted_by_the_server_s_clock() {
    let server = RedisServer::start();
    let store = store(&server).await;
    let clock = Clock::system();
    let quota = Quota::per_second(50).burst(5);
    let all = Charge::new(bucket(1), quota, 5);
    for _ in 0..5 {
        while !decide(&store, &[all]).await.is_admitted() {
            clock.sleep_until(clock.now() + quota.interval()).await;
        }
        let refused = decide(&store, &[all]).await;
        let wait = refused.outcomes()[0].retry_after().expect("waiting helps");
        assert!(wait <= quota.interval() * 5, "too long: {wait:?}");
        clock.sleep_until(clock.now() + wait).await;
        assert!(decide(&store, &[all]).await.is_admitted());
    }
}

#[tokio::test]
async fn a_change_of_quota_keeps_the_debt() {
    let server = RedisServer::start();
    let store = store(&server).await;
    let charge = |quota, cost| Charge::new(bucket(1), quota, cost);
    assert!(
        decide(&store, &[charge(Quota::per_day(1).burst(10), 4)])
            .await
            .is_admitted()
    );
    for (quota, left) in [
        (Quota::per_day(3).burst(20), 16),
        (Quota::per_day(2).burst(5), 1),
        (Quota::per_day(1).burst(3), 0),
        (Quota::per_day(1).burst(10), 7),
    ] {
        let decision = decide(&store, &[charge(quota, 0)]).await;
        assert_eq!(decision.outcomes()[0].remaining(), left, "{quota}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_no_more_than_the_deadline() {
    let server = RedisServer::start();
    let deadline = Duration::from_millis(5);
    let redis = connect(&server).await.with_deadline(deadline);
    let store = Arc::new(RedisStore::new(redis));
    let clock = Clock::system();
    let charge = Charge::new(bucket(1), Quota::per_day(1), 1);
    server.pause();
    for attempt in 0..50 {
        let began = clock.now();
        let decided = Arc::clone(&store).decide(charge.into(), clock.now()).await;
        let took = clock.now().saturating_duration_since(began);
        assert!(took < deadline + SCHEDULING, "waited {took:?}");
        match decided {
            Err(Error::TimedOut) if attempt == 0 => {}
            Err(Error::Unavailable(_)) if attempt > 0 => {}
            other => panic!("attempt {attempt}: {other:?}"),
        }
    }
    server.resume();
    let patient = connect(&server).await;
    assert!(
        decide(
            &Arc::new(RedisStore::new(patient)),
            &[charge.with_ceiling(1)]
        )
        .await
        .outcomes()[0]
            .is_known()
    );
}

#[tokio::test]
async fn what_a_client_sends_is_in_no_key() {
    let server = RedisServer::start();
    let store = RedisStore::new(connect(&server).await).with_prefix("shop:");
    let limiter = Limiter::in_store(Arc::new(store), Quota::per_day(5));
    for subject in [
        Subject::user("hunter2"),
        Subject::new().api_key("hunter2-key"),
        Subject::new().custom("kind", "hunter2-value"),
    ] {
        let verdict = limiter.check(&subject, 1).await;
        assert!(matches!(verdict, Verdict::Allowed(_)), "{verdict:?}");
    }
    let keys = server.ask(&["KEYS", "*"]);
    assert_eq!(keys.lines().count(), 3, "{keys}");
    for key in keys.lines() {
        let digest = key.strip_prefix("shop:").expect("the prefix");
        assert!(
            digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{key}"
        );
        let found = "return string.find(redis.call('GET', KEYS[1]), 'hunter2', 1, true) or 'no'";
        assert_eq!(server.ask(&["EVAL", found, "1", key]), "no");
    }
}

#[tokio::test]
async fn a_server_that_forgot_the_script_is_given_it_once() {
    let server = RedisServer::start();
    let store = store(&server).await;
    let charge = Charge::new(bucket(1), Quota::per_day(10), 1);
    for _ in 0..3 {
        let _ = server.ask(&["SCRIPT", "FLUSH"]);
        for _ in 0..2 {
            assert!(decide(&store, &[charge]).await.is_admitted());
        }
    }
    assert_eq!((server.calls("evalsha"), server.calls("eval")), (6, 3));
    let look = decide(&store, &[Charge::new(bucket(1), Quota::per_day(10), 0)]).await;
    assert_eq!(
        look.outcomes()[0].remaining(),
        4,
        "something was sent twice"
    );
}

/// What is owed in tokens is carried over on a server, too, in both directions.
#[tokio::test]
async fn entering_and_leaving_an_emergency_hands_out_no_burst() {
    let server = RedisServer::start();
    let store = store(&server).await;
    let emergency = Emergency::builder()
        .profile("storm", Profile::scale(1, 5).exempt_role("exempt"))
        .profile("flood", Profile::scale(1, 100))
        .build()
        .expect("valid");
    let rule = Rule::always()
        .by(By::User)
        .quota(Quota::per_day(2).burst(100));
    let limiter = Limiter::builder(Rules::new().rule("user", rule))
        .shared_store(store)
        .emergency(emergency.clone())
        .build()
        .expect("valid rules");
    let (ada, exempt) = (
        Subject::user("ada"),
        Subject::user("ada").roles(&["exempt"]),
    );
    let left = async |subject: &Subject<'_>| match limiter.check(subject, 0).await {
        Verdict::Allowed(allowed) => allowed.remaining(),
        other => panic!("{other:?}"),
    };
    let enter = |profile| {
        let lasting = Duration::from_secs(600);
        let declared = emergency.enter(profile, lasting, "ada", "");
        declared.expect("it is there")
    };
    assert!(limiter.check(&ada, 10).await.is_allowed());
    enter("storm");
    assert_eq!((left(&ada).await, left(&exempt).await), (10, 90));
    assert!(limiter.check(&ada, 10).await.is_allowed());
    assert!(!limiter.check(&ada, 1).await.is_allowed());
    emergency.leave("ada");
    assert_eq!(left(&ada).await, 80);
    assert!(limiter.check(&ada, 80).await.is_allowed());
    // It owes more than either profile holds.
    for profile in ["flood", "storm", "flood"] {
        enter(profile);
        assert!(!limiter.check(&ada, 1).await.is_allowed(), "{profile}");
        emergency.leave("ada");
        assert!(!limiter.check(&ada, 1).await.is_allowed(), "{profile}");
    }
}

/// By two instances that share nothing but the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_is_in_force_on_every_instance_within_a_second() {
    let server = RedisServer::start();
    let clock = Clock::system();
    let instance = async || {
        let store = pm_ratelimit::guard::RedisStore::new(connect(&server).await);
        let emergency = Emergency::builder()
            .profile("storm", Profile::scale(1, 5))
            .store(Arc::new(store))
            .build()
            .expect("valid");
        tokio::spawn(emergency.clone().run());
        emergency
    };
    let (one, two) = (instance().await, instance().await);
    let until = async |wanted: bool| {
        let since = clock.now();
        while two.state().is_some() != wanted {
            tokio::task::yield_now().await;
            let waited = clock.now().saturating_duration_since(since);
            assert!(waited < Duration::from_secs(1) + SCHEDULING, "{waited:?}");
        }
    };
    for _ in 0..3 {
        let minute = Duration::from_secs(60);
        (one.enter("storm", minute, "ada", "bots")).expect("it is there");
        until(true).await;
        one.leave("ada");
        until(false).await;
    }
}
