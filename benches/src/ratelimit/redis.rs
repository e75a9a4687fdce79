//! One decision on a real Redis, beside a bare PING on a connection of its own: what cannot be
//! undercut.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use pm_core::redis::{Endpoint, Options, Redis};
use pm_ratelimit::{By, Limiter, Op, RedisStore, Rule, Rules, Stage, Subject, Verdict};
use pm_testing::RedisServer;
use tokio::runtime::{Builder, Runtime};

use super::decision::admitted;
use super::peers::GENEROUS;
use crate::harness::{Race, Rounds};

const ROUNDS: u64 = 4_000;

/// A stall of the machine is part of what is measured, and not an outage.
const PATIENT: Duration = Duration::from_secs(5);

/// Different enough not to be one hot key.
const KEYS: u64 = 1_000;

pub(super) fn one_charge() -> Race {
    race(Rules::new().rule(
        "connection",
        Rule::always().by(By::Connection).quota(GENEROUS),
    ))
}

pub(super) fn three_charges() -> Race {
    let everyone = Rule::always().by(By::Everyone).stage(Stage::Identified);
    race(
        Rules::new()
            .rule(
                "connection",
                Rule::always().by(By::Connection).quota(GENEROUS),
            )
            .rule("everyone", everyone.quota(GENEROUS))
            .rule(
                "tasks",
                Rule::on("task.*").by(By::Connection).quota(GENEROUS),
            ),
    )
}

/// A server, and the runtime that both sides are driven by.
struct Setting {
    server: RedisServer,
    runtime: Runtime,
}

fn race(rules: Rules) -> Race {
    let runtime = Builder::new_current_thread().enable_all().build();
    let setting = Arc::new(Setting {
        server: RedisServer::start(),
        runtime: runtime.expect("a runtime"),
    });
    let limiter = limiter(&setting, rules);
    let mut ping = connection(&setting);
    let ours = Arc::clone(&setting);
    Race::new(Rounds::new(ROUNDS, move |round| {
        let subject = Subject::new().connection(round % KEYS);
        let decision = limiter.check(&subject, Op::new("task.update"));
        let verdict = ours.runtime.block_on(decision);
        // One without the server would be fast, and none.
        admitted(matches!(verdict, Verdict::Allowed(allowed) if !allowed.degraded()));
    }))
    .against(
        "redis",
        Rounds::new(ROUNDS, move |_| {
            let pong = ::redis::cmd("PING");
            let pong = setting
                .runtime
                .block_on(pong.query_async::<String>(&mut ping));
            admitted(pong.is_ok());
        }),
    )
}

fn limiter(setting: &Setting, rules: Rules) -> Limiter {
    let endpoint = Endpoint::single(&setting.server.url()).expect("an address");
    let redis = Redis::connect(endpoint, Options::new().with_deadline(PATIENT));
    let redis = setting.runtime.block_on(redis).expect("it runs");
    let limiter = Limiter::builder(rules).store(RedisStore::new(redis));
    limiter.build().expect("valid rules")
}

fn connection(setting: &Setting) -> MultiplexedConnection {
    let client = ::redis::Client::open(setting.server.url()).expect("an address");
    let connection = client.get_multiplexed_async_connection();
    setting.runtime.block_on(connection).expect("it runs")
}
