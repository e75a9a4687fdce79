//! The handle on a single, real Redis.
#![cfg(feature = "redis")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pm_core::Clock;
use pm_core::degrade::State;
use pm_core::redis::{Command, Endpoint, Error, Options, Redis, Reply, Script};
use pm_testing::{Log, RedisServer};
use tracing::Level;

const DEADLINE: Duration = Duration::from_millis(5);
/// What a busy machine may add to a deadline until whoever waits is run again.
const SCHEDULING: Duration = Duration::from_millis(200);

fn options() -> Options {
    Options::new().with_deadline(DEADLINE)
}

/// For what is not about deadlines: a machine that is busy with other tests misses one.
fn patient() -> Options {
    Options::new().with_deadline(Duration::from_secs(5))
}

async fn connect(server: &RedisServer, options: Options) -> Redis {
    let endpoint = Endpoint::single(&server.url()).expect("an address");
    Redis::connect(endpoint, options)
        .await
        .expect("it is there")
}

fn incr(key: &str) -> Command {
    Command::new("INCR").arg(key)
}

/// Waits for real time: another process is on the other side.
async fn reaches(redis: &Redis, state: State, limit: Duration) {
    let mut changes = redis.changes();
    let reached = Clock::system().within(limit, changes.until(state)).await;
    assert!(reached.is_ok(), "not {state:?} within {limit:?}: {redis:?}");
}

#[tokio::test]
async fn commands_and_scripts_are_answered() {
    let server = RedisServer::start();
    let redis = connect(&server, patient()).await;
    let ok = redis.call(&Command::new("SET").arg("key").arg(7)).await;
    assert_eq!(ok.expect("answered"), Reply::Bytes(b"OK".to_vec()));
    assert_eq!(
        redis.call(&incr("key")).await.expect("answered"),
        Reply::Integer(8)
    );
    let none = redis.call(&Command::new("GET").arg("other")).await;
    assert_eq!(none.expect("answered").some(), None);

    let script = Script::new("return {KEYS[1], ARGV[1], redis.call('GET', KEYS[1])}");
    let list = redis.run(&script.on(["key"]).arg("x")).await.expect("run");
    let list: Vec<_> = list
        .list()
        .expect("a list")
        .into_iter()
        .map(Reply::bytes)
        .collect();
    let list: Result<Vec<_>, _> = list.into_iter().collect();
    assert_eq!(list.expect("bytes"), [&b"key"[..], b"x", b"8"]);

    // An error of the caller's own says nothing about the server.
    let wrong = redis.call(&Command::new("LPUSH").arg("key").arg("x")).await;
    assert!(matches!(wrong, Err(Error::Response(reply)) if reply.code() == "WRONGTYPE"));
    let broken = redis
        .run(&Script::new("return nonsense()").on(["key"]))
        .await;
    assert!(matches!(broken, Err(Error::Response(_))), "{broken:?}");
    assert_eq!(redis.state(), State::Up);
}

#[tokio::test]
async fn replies_have_one_shape_whatever_the_protocol_and_the_client() {
    let server = RedisServer::start();
    let client = redis::Client::open(server.url()).expect("an address");
    let endpoints = [
        Endpoint::single(&format!("{}?protocol=2", server.url())).expect("an address"),
        Endpoint::single(&format!("{}?protocol=3", server.url())).expect("an address"),
        Endpoint::from(client),
    ];
    let bytes = |text: &str| Reply::Bytes(text.as_bytes().to_vec());
    for endpoint in endpoints {
        let redis = Redis::connect(endpoint, patient())
            .await
            .expect("it is there");
        let set = Command::new("HSET").arg("hash").arg("field").arg("value");
        redis.call(&set).await.expect("answered");
        let all = redis.call(&Command::new("HGETALL").arg("hash")).await;
        let pair = Reply::List(vec![bytes("field"), bytes("value")]);
        assert_eq!(all.expect("answered"), pair);
        let add = Command::new("ZADD").arg("set").arg("0.5").arg("member");
        redis.call(&add).await.expect("answered");
        let score = redis
            .call(&Command::new("ZSCORE").arg("set").arg("member"))
            .await;
        assert_eq!(score.expect("answered"), bytes("0.5"));
    }
}

#[tokio::test]
async fn a_script_is_sent_in_full_once_to_a_server_that_does_not_know_it() {
    let mut server = RedisServer::start();
    let redis = connect(&server, patient()).await;
    let script = Script::new("return redis.call('INCR', KEYS[1])");
    for round in 0..2 {
        for count in 1..=3 {
            let reply = redis.run(&script.on(["key"])).await.expect("run");
            assert_eq!(reply, Reply::Integer(count), "in round {round}");
        }
        assert_eq!((server.calls("evalsha"), server.calls("eval")), (3, 1));
        server.restart();
        let _ = redis.call(&incr("other")).await;
        reaches(&redis, State::Up, Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p001_9_no_call_waits_longer_than_its_deadline_whatever_happens_to_the_server() {
    let mut server = RedisServer::start();
    let redis = connect(&server, options()).await;
    let clock = Clock::system();

    for round in 0..2 {
        if round == 0 {
            server.pause();
        } else {
            server.kill();
        }
        let calls: Vec<_> = (0..200)
            .map(|_| {
                let (redis, clock) = (redis.clone(), clock.clone());
                tokio::spawn(async move {
                    let began = clock.now();
                    let result = redis.call(&incr("key")).await;
                    (result, clock.now().saturating_duration_since(began))
                })
            })
            .collect();
        for call in calls {
            let (result, took) = call.await.expect("no panic");
            assert!(result.is_err());
            assert!(took < DEADLINE + SCHEDULING, "waited {took:?}");
        }
        assert_eq!(redis.state(), State::Down);
        let before = redis.stats();
        let local = redis.call(&incr("key")).await;
        assert!(matches!(local, Err(Error::Unavailable(_))), "{local:?}");
        assert_eq!(redis.stats().local, before.local + 1, "it was sent");

        if round == 0 {
            server.resume();
        } else {
            server.restart();
        }
        reaches(&redis, State::Up, Duration::from_secs(1)).await;
        let patient = redis.clone().with_deadline(Duration::from_secs(5));
        patient.call(&incr("key")).await.expect("it is back");
    }
    assert_eq!((redis.stats().fallen, redis.stats().risen), (2, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_is_sent_twice_whatever_happens_meanwhile() {
    let server = RedisServer::start();
    let redis = connect(&server, options()).await;
    let script = Arc::new(Script::new("return redis.call('INCR', KEYS[1])"));
    let patient = redis.clone().with_deadline(Duration::from_secs(5));
    patient
        .run(&script.on(["other"]))
        .await
        .expect("it is known");
    let before = redis.stats();

    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (redis, stop, script) = (redis.clone(), Arc::clone(&stop), Arc::clone(&script));
            tokio::spawn(async move {
                let (mut asked, mut answered) = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    if redis.state() == State::Up {
                        asked += 1;
                        answered += u64::from(redis.run(&script.on(["key"])).await.is_ok());
                    }
                    tokio::task::yield_now().await;
                }
                (asked, answered)
            })
        })
        .collect();
    for _ in 0..3 {
        reaches(&redis, State::Up, Duration::from_secs(5)).await;
        server.pause();
        reaches(&redis, State::Down, Duration::from_secs(5)).await;
        server.resume();
    }
    // Not the connections either: the server cuts them.
    reaches(&redis, State::Up, Duration::from_secs(5)).await;
    let _ = server.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    reaches(&redis, State::Down, Duration::from_secs(5)).await;
    reaches(&redis, State::Up, Duration::from_secs(5)).await;
    stop.store(true, Ordering::Relaxed);

    let (mut asked, mut answered) = (0, 0);
    for caller in callers {
        let counts = caller.await.expect("no panic");
        (asked, answered) = (asked + counts.0, answered + counts.1);
    }
    let stats = redis.stats();
    let sent = asked - (stats.local - before.local);
    let done: u64 = server.ask(&["GET", "key"]).parse().expect("a number");
    assert!(
        answered <= done && done <= sent,
        "{answered} ≤ {done} ≤ {sent}"
    );
    assert!(sent - answered <= stats.ambiguous - before.ambiguous);
    assert_eq!(server.calls("eval"), 1);
    assert_eq!(server.calls("evalsha"), done + 1);
}

#[tokio::test]
async fn one_line_is_logged_per_switch_and_none_per_call() {
    let log = Log::capture(Level::INFO);
    let mut server = RedisServer::start();
    let redis = connect(&server, options().with_name("orders")).await;
    server.kill();
    for _ in 0..100 {
        assert!(redis.call(&incr("key")).await.is_err());
    }
    server.restart();
    reaches(&redis, State::Up, Duration::from_secs(1)).await;
    let lines = log.lines();
    let starts = [
        " INFO pm_core::degrade::switch: reached for the first time",
        " WARN pm_core::degrade::switch: down",
        " WARN pm_core::degrade::switch: back",
    ];
    assert_eq!(lines.len(), starts.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start) && line.contains("orders"), "{line}");
    }
}

#[tokio::test]
async fn it_is_opened_before_the_server_is_there() {
    let mut server = RedisServer::start();
    let endpoint = Endpoint::single(&server.url()).expect("an address");
    server.kill();
    let refused = Redis::connect(endpoint.clone(), options()).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");

    let redis = Redis::open(endpoint, patient());
    let local = redis.call(&incr("key")).await;
    assert!(matches!(local, Err(Error::Unavailable(_))), "{local:?}");
    server.restart();
    reaches(&redis, State::Up, Duration::from_secs(1)).await;
    redis.call(&incr("key")).await.expect("answered");
}

#[tokio::test]
async fn a_server_that_may_only_be_read_is_down_until_it_is_promoted() {
    let (server, primary) = (RedisServer::start(), RedisServer::start());
    let redis = connect(&server, patient()).await;
    let port = primary.port().to_string();
    let _ = server.ask(&["REPLICAOF", "127.0.0.1", &port]);
    let refused = redis.call(&incr("key")).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    assert_eq!(redis.state(), State::Down);

    // Probes are refused, too, although a ping would be answered.
    let probes = server.calls("del");
    let mut changes = redis.changes();
    let rose = Clock::system()
        .within(Duration::from_millis(700), changes.next())
        .await;
    assert!(rose.is_err());
    assert_eq!(server.ask(&["PING"]), "PONG");
    assert_eq!(
        server.calls("del"),
        probes,
        "a refused command is not a call"
    );
    let _ = server.ask(&["REPLICAOF", "NO", "ONE"]);
    reaches(&redis, State::Up, Duration::from_secs(1)).await;
    redis.call(&incr("key")).await.expect("answered");
}

#[tokio::test]
async fn the_stores_own_probe_decides_if_there_is_one() {
    let mut server = RedisServer::start();
    let probe = Arc::new(Script::new("return redis.call('SET', KEYS[1], 1)"));
    let redis = connect(
        &server,
        patient().with_probe(move |connection| {
            let probe = Arc::clone(&probe);
            async move { connection.run(&probe.on(["probe"])).await.map(drop) }
        }),
    )
    .await;
    assert_eq!(server.ask(&["GET", "probe"]), "1");
    server.restart();
    assert!(redis.call(&incr("key")).await.is_err());
    reaches(&redis, State::Up, Duration::from_secs(1)).await;
    assert_eq!(server.ask(&["GET", "probe"]), "1");
    assert_eq!(server.calls("del"), 0);
}

#[tokio::test]
async fn credentials_are_used_and_never_shown() {
    let log = Log::capture(Level::TRACE);
    let server = RedisServer::start_with(["--requirepass", "hunter2"]);
    let url = |password: &str| server.url().replace("127", &format!(":{password}@127"));
    let endpoint = |url: &str| Endpoint::single(url).expect("an address");

    let redis = Redis::connect(endpoint(&url("hunter2")), patient())
        .await
        .expect("let in");
    redis.call(&incr("key")).await.expect("answered");
    let wrong = Redis::connect(endpoint(&url("hunter3")), patient()).await;
    assert!(matches!(wrong, Err(Error::Denied(_))), "{wrong:?}");
    let none = Redis::connect(endpoint(&server.url()), patient()).await;
    assert!(matches!(none, Err(Error::Denied(_))), "{none:?}");

    // Who waits for it is told what to do, once.
    let waiting = Redis::open(endpoint(&url("hunter3")), patient());
    let second = Duration::from_secs(1);
    let rose = Clock::system()
        .within(second, waiting.changes().next())
        .await;
    assert!(rose.is_err());
    let lines = log.lines();
    let told = lines
        .iter()
        .filter(|line| line.contains("until somebody acts"));
    assert_eq!(told.count(), 1, "{lines:#?}");
    let shown = format!("{redis:?} {wrong:?} {none:?} {waiting:?} {lines:?}");
    assert!(!shown.contains("hunter"), "{shown}");
}

#[tokio::test]
async fn the_last_handle_takes_the_connection_and_the_prober_with_it() {
    let server = RedisServer::start();
    let redis = connect(&server, patient()).await;
    let connections = || {
        let clients = server.ask(&["INFO", "clients"]);
        let line = clients
            .lines()
            .find_map(|line| line.strip_prefix("connected_clients:"));
        line.map(ToOwned::to_owned)
    };
    assert_eq!(
        connections().as_deref(),
        Some("2"),
        "ours and the one that asks"
    );
    let other = redis.clone();
    drop(redis);
    other.call(&incr("key")).await.expect("answered");
    drop(other);
    let alone = async {
        while connections().as_deref() != Some("1") {
            tokio::task::yield_now().await;
        }
    };
    let alone = Clock::system().within(Duration::from_secs(5), alone).await;
    assert!(alone.is_ok(), "{:?}", connections());
}
