//! What a decision on a Redis takes beside a `PING`, at a moderate load: 2,000 calls a second, one
//! every half millisecond, on one connection. Every tenth of them is a `PING`, so that both wait in
//! the same queues, and their quantiles are of the same moments.
//!
//! Run with `cargo bench -p pm-ratelimit --features redis --bench redis`

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use pm_core::redis::{Command, Endpoint, Options, Redis};
use pm_core::{Clock, Tick};
use pm_ratelimit::{BucketId, Charge, Charges, Quota, RateLimitStore, RedisStore};
use pm_testing::RedisServer;
use tokio::runtime::{Handle, Runtime};

const SPACING: Duration = Duration::from_micros(500);
/// A call that begins later than this after its time does so because nobody let it run; together
/// with the one behind it, it would be another load. It is made, counted, and not judged.
const LATE: Duration = Duration::from_micros(250);
const SUBJECTS: u64 = 10_000;
/// What a decision may take beyond a `PING`, at the 99th percentile.
const MARGIN: Duration = Duration::from_micros(300);

/// Charges in a decision; none is a load of `PING`s alone.
const LOADS: [u64; 4] = [0, 1, 3, 8];

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let (turns, calls) = if std::env::args().any(|arg| arg == "--bench") {
        (7, 4_000)
    } else {
        (1, 80)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let server = RedisServer::start();
    let bench = Bench::new(&runtime, &server);
    for charges in LOADS {
        // Scripts are loaded, and all is warm.
        bench.run(runtime.handle(), charges, calls / 4);
    }
    let mut measured = LOADS.map(|_| Measured::default());
    for _ in 0..turns {
        for (charges, measured) in LOADS.into_iter().zip(&mut measured) {
            let before = Server::of(&server);
            let samples = bench.run(runtime.handle(), charges, calls);
            measured.add(&samples, Server::of(&server).since(&before));
        }
    }
    let mut out = std::io::stdout().lock();
    for (charges, mut measured) in LOADS.into_iter().zip(measured) {
        let [pings, checks] = [&mut measured.pings, &mut measured.checks].map(|took| {
            took.sort_unstable();
            Quantiles::of(took)
        });
        let share = measured.late as f64 / measured.calls as f64 * 100.0;
        let busy = measured.server.cpu / (SPACING * measured.calls).as_secs_f64() * 100.0;
        let server = format!("server {busy:.0} % of a core");
        let late = format!("{share:.1} % began late");
        if charges == 0 {
            writeln!(out, "redis | PING alone | {pings} | {server} | {late}")
        } else {
            let holds = checks.p99 <= pings.p99 + MARGIN;
            let judged = if holds { "holds" } else { "FALLS SHORT" };
            let script = measured.server.scripts_us / measured.server.scripts;
            writeln!(
                out,
                "redis | {charges} charges | {checks} | PING beside it {pings} | script {script:.1} µs \
                 | {server} | {late} | p99 <= PING + {MARGIN:?}: {judged}"
            )
        }
        .expect("the terminal takes a line");
    }
}

#[derive(Default)]
struct Measured {
    pings: Vec<Duration>,
    checks: Vec<Duration>,
    calls: u32,
    late: u32,
    server: Server,
}

impl Measured {
    fn add(&mut self, samples: &[Sample], server: Server) {
        for sample in samples {
            self.calls += 1;
            if sample.late > LATE {
                self.late += 1;
            } else if sample.is_ping {
                self.pings.push(sample.took);
            } else {
                self.checks.push(sample.took);
            }
        }
        self.server.cpu += server.cpu;
        self.server.scripts += server.scripts;
        self.server.scripts_us += server.scripts_us;
    }
}

/// What a server says that it has done.
#[derive(Default)]
struct Server {
    /// Seconds of a processor.
    cpu: f64,
    scripts: f64,
    scripts_us: f64,
}

impl Server {
    fn of(server: &RedisServer) -> Self {
        let (cpu, stats) = (
            server.ask(&["INFO", "cpu"]),
            server.ask(&["INFO", "commandstats"]),
        );
        let scripts = stats
            .lines()
            .filter(|line| line.starts_with("cmdstat_evalsha:"));
        let words: Vec<&str> = cpu
            .lines()
            .chain(scripts.flat_map(|line| line.split([':', ','])))
            .collect();
        let number = |name: &str| {
            let found = words.iter().find_map(|word| word.strip_prefix(name));
            found.map_or(0.0, |number| number.trim().parse().expect("a number"))
        };
        Self {
            cpu: number("used_cpu_user:") + number("used_cpu_sys:"),
            scripts: number("calls="),
            scripts_us: number("usec="),
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            cpu: self.cpu - before.cpu,
            scripts: self.scripts - before.scripts,
            scripts_us: self.scripts_us - before.scripts_us,
        }
    }
}

struct Quantiles {
    p50: Duration,
    p99: Duration,
    p999: Duration,
}

impl Quantiles {
    /// Of what is sorted.
    fn of(took: &[Duration]) -> Self {
        let at = |part: f64| took.get((took.len() as f64 * part) as usize);
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| at(part).copied().unwrap_or_default());
        Self { p50, p99, p999 }
    }
}

impl std::fmt::Display for Quantiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [p50, p99, p999] = [self.p50, self.p99, self.p999].map(|took| took.as_micros());
        write!(f, "p50 {p50} p99 {p99} p99.9 {p999} µs")
    }
}

struct Sample {
    is_ping: bool,
    late: Duration,
    took: Duration,
}

#[derive(Clone)]
struct Bench {
    store: Arc<RedisStore>,
    redis: Redis,
    clock: Clock,
}

impl Bench {
    fn new(runtime: &Runtime, server: &RedisServer) -> Self {
        let endpoint = Endpoint::single(&server.url()).expect("an address");
        // What is late is to be measured, and not to be cut off.
        let options = Options::new().with_deadline(Duration::from_secs(5));
        let redis = runtime.block_on(Redis::connect(endpoint, options));
        let redis = redis.expect("it runs");
        Self {
            store: Arc::new(RedisStore::new(redis.clone())),
            redis,
            clock: Clock::system(),
        }
    }

    /// So many calls, each in a task of its own that is spawned when its time has come.
    fn run(&self, runtime: &Handle, charges: u64, calls: u32) -> Vec<Sample> {
        let began = self.clock.now() + SPACING;
        let tasks: Vec<_> = (0..calls)
            .map(|number| {
                let due = began + SPACING * number;
                self.sleep_until(due);
                let bench = self.clone();
                let is_ping = charges == 0 || number % 10 == 0;
                runtime.spawn(async move {
                    let start = bench.clock.now();
                    if is_ping {
                        bench.ping().await;
                    } else {
                        bench.decide(charges, u64::from(number)).await;
                    }
                    Sample {
                        is_ping,
                        late: start.saturating_duration_since(due),
                        took: bench.clock.now().saturating_duration_since(start),
                    }
                })
            })
            .collect();
        runtime.block_on(async {
            let mut samples = Vec::with_capacity(tasks.len());
            for task in tasks {
                samples.push(task.await.expect("no panic"));
            }
            samples
        })
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "the timers of the runtime go off once in a millisecond, all that are due together"
    )]
    fn sleep_until(&self, due: Tick) {
        std::thread::sleep(due.saturating_duration_since(self.clock.now()));
    }

    async fn ping(&self) {
        self.redis.call(&Command::new("PING")).await.expect("PONG");
    }

    async fn decide(&self, count: u64, number: u64) {
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
