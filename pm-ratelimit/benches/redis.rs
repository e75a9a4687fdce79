//! What a decision on a Redis takes beside a `PING`, at a moderate load: 2,000 a second by eight
//! callers, each kind in turn, on one connection.
//!
//! Run with `cargo bench -p pm-ratelimit --features redis --bench redis`

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use pm_core::redis::{Command, Endpoint, Options, Redis};
use pm_core::{Clock, Tick};
use pm_ratelimit::{BucketId, Charge, Charges, Quota, RateLimitStore, RedisStore};
use pm_testing::RedisServer;

const CALLERS: u32 = 8;
const PER_SECOND: u32 = 2_000;
const SUBJECTS: u64 = 10_000;
/// What a decision may take beyond a `PING`, at the 99th percentile.
const MARGIN: Duration = Duration::from_micros(300);

#[derive(Clone, Copy)]
enum Kind {
    Ping,
    Charges(u64),
}

const KINDS: [Kind; 4] = [
    Kind::Ping,
    Kind::Charges(1),
    Kind::Charges(3),
    Kind::Charges(8),
];

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let (turns, calls) = if std::env::args().any(|arg| arg == "--bench") {
        (7, PER_SECOND)
    } else {
        (1, 80)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut samples = KINDS.map(|_| Vec::new());
    runtime.block_on(async {
        let server = RedisServer::start();
        let endpoint = Endpoint::single(&server.url()).expect("an address");
        // What is late is to be measured, and not to be cut off.
        let options = Options::new().with_deadline(Duration::from_secs(5));
        let redis = Redis::connect(endpoint, options).await.expect("it runs");
        let callers = Callers {
            store: Arc::new(RedisStore::new(redis.clone())),
            redis,
            clock: Clock::system(),
        };
        // Scripts are loaded, and all is warm.
        for kind in KINDS {
            callers.run(kind, calls / 4).await;
        }
        for _ in 0..turns {
            for (kind, samples) in KINDS.into_iter().zip(&mut samples) {
                samples.extend(callers.run(kind, calls).await);
            }
        }
    });

    let mut out = std::io::stdout().lock();
    let mut ping = Duration::ZERO;
    for (kind, mut samples) in KINDS.into_iter().zip(samples) {
        samples.sort_unstable();
        let at = |part: f64| samples[(samples.len() as f64 * part) as usize];
        let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
        let (what, judged) = match kind {
            Kind::Ping => {
                ping = p99;
                ("PING".to_owned(), String::new())
            }
            Kind::Charges(count) => {
                let holds = p99 <= ping + MARGIN;
                let judged = if holds { "holds" } else { "FALLS SHORT" };
                (
                    format!("{count} charges"),
                    format!(" | p99 <= PING + {MARGIN:?}: {judged}"),
                )
            }
        };
        writeln!(
            out,
            "redis | {what} | p50 {p50:?} | p99 {p99:?} | p99.9 {p999:?}{judged}"
        )
        .expect("the terminal takes a line");
    }
}

#[derive(Clone)]
struct Callers {
    store: Arc<RedisStore>,
    redis: Redis,
    clock: Clock,
}

impl Callers {
    /// So many calls at the load, and how long each took.
    async fn run(&self, kind: Kind, calls: u32) -> Vec<Duration> {
        let pause = Duration::from_secs(1) * CALLERS / PER_SECOND;
        let began = self.clock.now();
        let tasks: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let callers = self.clone();
                tokio::spawn(async move {
                    let mut took = Vec::new();
                    for call in 0..calls / CALLERS {
                        let due = began + pause * call + pause / CALLERS * caller;
                        callers.clock.sleep_until(due).await;
                        let number = u64::from(caller * calls + call);
                        let start = callers.clock.now();
                        callers.call(kind, number).await;
                        took.push(callers.clock.now().saturating_duration_since(start));
                    }
                    took
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.expect("no panic"));
        }
        all
    }

    async fn call(&self, kind: Kind, number: u64) {
        let count = match kind {
            Kind::Ping => {
                self.redis.call(&Command::new("PING")).await.expect("PONG");
                return;
            }
            Kind::Charges(count) => count,
        };
        // What services have: some tokens of each bucket come back in every second.
        let quota = Quota::per_minute(300).burst(50);
        let mut charges = Charges::new();
        for rule in 0..count {
            // A subject at random, with a bucket for each rule.
            let subject = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % SUBJECTS;
            let bucket = BucketId::from_u128(u128::from(subject) << 64 | u128::from(rule));
            charges
                .push(Charge::new(bucket, quota, 1))
                .expect("no more than eight");
        }
        let decided = Arc::clone(&self.store).decide(charges, Tick::ZERO).await;
        assert!(decided.expect("a decision").is_admitted());
    }
}
