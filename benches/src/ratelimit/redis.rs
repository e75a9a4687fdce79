//! One decision on a real Redis, beside a bare PING on a connection of its own: what cannot be
//! undercut.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use pm_core::redis::{Endpoint, Options, Redis};
use pm_ratelimit::{
    By, Leases, Limiter, Op, RateLimitStore, RedisStore, Rule, Rules, Stage, Subject, Verdict,
};
use pm_testing::RedisServer;
use tokio::runtime::{Builder, Runtime};

use super::decision::admitted;
use super::peers::GENEROUS;
use crate::harness::{AtOnce, Race, Rounds, Work};

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

/// Who ask at the same time, where it is about how many decisions there are in a second.
const CALLERS: u64 = 64;

/// Leased decisions in a run: each key runs out of its slice several times.
const LEASED: u64 = 1 << 20;

/// Without a question for each decision, beside ourselves with one, on the same server.
pub(super) fn leased() -> Race {
    let server = Arc::new(RedisServer::start());
    let rule = || Rule::always().by(By::Connection).quota(GENEROUS);
    let exact = decisions(Arc::clone(&server), rule(), ROUNDS * 4, |store| {
        Arc::new(store)
    });
    let leased = decisions(server, rule().leased(200), LEASED, |store| {
        Arc::new(Leases::of(store, 4 * KEYS as usize))
    });
    Race::new(leased)
        .against("pm-ratelimit", exact)
        .at_most(0.1)
}

fn decisions(
    server: Arc<RedisServer>,
    rule: Rule,
    count: u64,
    store: fn(RedisStore) -> Arc<dyn RateLimitStore>,
) -> impl Work {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let store = store(RedisStore::new(runtime.block_on(connect(&server))));
    let limiter = Limiter::builder(Rules::new().rule("connection", rule)).shared_store(store);
    let limiter = limiter.build().expect("valid rules");
    AtOnce::new(runtime, CALLERS, count, move |round| {
        let (limiter, _running) = (limiter.clone(), &server);
        async move {
            let subject = Subject::new().connection(round % KEYS);
            let verdict = limiter.check(&subject, 1).await;
            admitted(matches!(verdict, Verdict::Allowed(allowed) if !allowed.degraded()));
        }
    })
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
    let redis = setting.runtime.block_on(connect(&setting.server));
    let limiter = Limiter::builder(rules).store(RedisStore::new(redis));
    limiter.build().expect("valid rules")
}

async fn connect(server: &RedisServer) -> Redis {
    let endpoint = Endpoint::single(&server.url()).expect("an address");
    let redis = Redis::connect(endpoint, Options::new().with_deadline(PATIENT));
    redis.await.expect("it runs")
}

fn connection(setting: &Setting) -> MultiplexedConnection {
    let client = ::redis::Client::open(setting.server.url()).expect("an address");
    let connection = client.get_multiplexed_async_connection();
    setting.runtime.block_on(connection).expect("it runs")
}
