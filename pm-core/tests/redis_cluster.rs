//! The handle on a real Redis Cluster.
#![cfg(feature = "redis")]

use std::time::Duration;

use pm_core::degrade::State;
use pm_core::redis::{Command, Endpoint, Error, Options, Redis, Reply, Script};
use pm_core::{Clock, Tick};
use pm_testing::{RedisCluster, RedisServer};

/// Long enough that only a node that is gone misses it, on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_millis(100);
const SCHEDULING: Duration = Duration::from_millis(200);

async fn connect(cluster: &RedisCluster, deadline: Duration) -> Redis {
    let endpoint = Endpoint::cluster(cluster.urls()).expect("addresses");
    let options = Options::new().with_deadline(deadline);
    Redis::connect(endpoint, options)
        .await
        .expect("it is there")
}

fn incr(key: &str) -> Command {
    Command::new("INCR").arg(key)
}

/// Calls until one is answered, and says how many of them failed. None waits longer than its
/// deadline.
async fn until_answered(redis: &Redis, key: &str, limit: Duration) -> u64 {
    let clock = Clock::system();
    let (began, mut failed) = (clock.now(), 0);
    let since = |earlier: Tick| clock.now().saturating_duration_since(earlier);
    loop {
        let asked = clock.now();
        let answer = redis.call(&incr(key)).await;
        assert!(
            since(asked) < DEADLINE + SCHEDULING,
            "waited {:?}",
            since(asked)
        );
        if answer.is_ok() {
            return failed;
        }
        failed += 1;
        assert!(
            since(began) < limit,
            "still {answer:?} after {limit:?}: {redis:?}"
        );
        // A caller that is told at once that it is down has something else to do.
        clock
            .sleep_until(clock.now() + Duration::from_millis(1))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_and_scripts_find_the_node_of_their_key() {
    let cluster = RedisCluster::start();
    // Its own retries are what a builder that is passed in loses.
    let builder = redis::cluster::ClusterClientBuilder::new(cluster.urls()).retries(16);
    let endpoint = Endpoint::try_from(builder).expect("addresses");
    let options = Options::new().with_deadline(Duration::from_secs(5));
    let redis = Redis::connect(endpoint, options)
        .await
        .expect("it is there");
    let script = Script::new("return redis.call('INCR', KEYS[1])");
    for number in 0..50 {
        let key = format!("key:{number}");
        assert_eq!(
            redis.call(&incr(&key)).await.expect("answered"),
            Reply::Integer(1)
        );
        assert_eq!(
            redis.run(&script.on([&key])).await.expect("run"),
            Reply::Integer(2)
        );
    }
    let calls = |command: &str| {
        cluster
            .nodes()
            .iter()
            .map(|node| node.calls(command))
            .sum::<u64>()
    };
    assert_eq!(calls("eval"), 3, "each primary is given the text once");
    assert_eq!(calls("evalsha"), 50);
    for key in ["key:1", "{key}:1", "a{}b", "a{b}{c}", "a{b"] {
        for other in ["key", "key:1", "b", "{}b", "a{b"] {
            assert_eq!(
                redis.slot(key) == redis.slot(other),
                cluster.slot_of(key) == cluster.slot_of(other),
                "{key} and {other}"
            );
        }
    }
    let apart = redis.run(&script.on(["a", "b"])).await;
    assert!(matches!(apart, Err(Error::Response(reply)) if reply.code() == "CROSSSLOT"));
    assert_eq!(redis.state(), State::Up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_takes_over_is_found_without_a_restart() {
    let mut cluster = RedisCluster::start();
    let redis = connect(&cluster, DEADLINE).await;
    until_answered(&redis, "key", Duration::from_secs(5)).await;
    let before = redis.stats();
    cluster.kill_primary_of("key");
    let failed = until_answered(&redis, "key", Duration::from_secs(20)).await;
    let stats = redis.stats();
    assert_eq!(
        stats.fallen - before.fallen,
        1,
        "one switch in each direction"
    );
    assert_eq!(stats.risen - before.risen, 1);
    assert_eq!(
        stats.local - before.local,
        failed - 1,
        "all but the first are told at once"
    );

    // Every part of it works again.
    for key in ["a", "b", "c", "d", "e"] {
        until_answered(&redis, key, Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_is_replaced_too() {
    // The client alone keeps asking a node that hangs: it learns of a failover from answers only.
    let mut cluster = RedisCluster::start();
    let redis = connect(&cluster, DEADLINE).await;
    until_answered(&redis, "key", Duration::from_secs(5)).await;
    cluster.primary_of("key").pause();
    let failed = until_answered(&redis, "key", Duration::from_secs(20)).await;
    assert!(failed > 0, "nobody noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_are_followed_and_their_commands_carried_out_once() {
    let mut cluster = RedisCluster::start();
    let redis = connect(&cluster, Duration::from_secs(5)).await;
    redis.call(&incr("key")).await.expect("answered");

    let slot = cluster.slot_of("key").to_string();
    let (from, to) = {
        let from = cluster.primary_of("key").port();
        let others = ["a", "b", "c", "d", "e", "f"].map(|key| cluster.primary_of(key).port());
        let to = others.into_iter().find(|&port| port != from);
        (from, to.expect("another primary"))
    };
    let node = |port: u16| -> &RedisServer {
        let mut nodes = cluster.nodes().iter();
        nodes.find(|node| node.port() == port).expect("a node")
    };
    let id = |port: u16| node(port).ask(&["CLUSTER", "MYID"]);
    let (from_id, to_id) = (id(from), id(to));

    // On its way, and the key is there already: ASK.
    let _ = node(to).ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    let _ = node(from).ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    let port = to.to_string();
    let _ = node(from).ask(&["MIGRATE", "127.0.0.1", &port, "key", "0", "5000"]);
    assert_eq!(
        redis.call(&incr("key")).await.expect("asked"),
        Reply::Integer(2)
    );

    // Arrived: MOVED.
    for port in [to, from] {
        let _ = node(port).ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
    assert_eq!(
        redis.call(&incr("key")).await.expect("moved"),
        Reply::Integer(3)
    );
    assert_eq!(
        redis.call(&incr("key")).await.expect("at home"),
        Reply::Integer(4)
    );
    let calls: u64 = cluster.nodes().iter().map(|node| node.calls("incr")).sum();
    // Replicas carry out what their primaries did.
    let replicated: u64 = cluster
        .nodes()
        .iter()
        .filter(|node| node.ask(&["INFO", "replication"]).contains("role:slave"))
        .map(|node| node.calls("incr"))
        .sum();
    assert_eq!(calls - replicated, 4);
}
