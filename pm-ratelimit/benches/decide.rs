//! What one decision costs, digest, clock and look-up included: the median of eleven runs.
//!
//! Run with `cargo bench -p pm-ratelimit`

use std::hint::black_box;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pm_core::degrade::State;
use pm_core::{Clock, Tick};
use pm_ratelimit::{
    BucketId, By, Charge, Charges, Decision, Error, Fallback, Limiter, MemoryStore, Op, Quota,
    RateLimitStore, Rule, Rules, STANDARD_ROLES, Stage, Subject,
};

const RUNS: usize = 11;
const ROUNDS: u64 = 1_000_000;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let rounds = if std::env::args().any(|arg| arg == "--bench") {
        ROUNDS
    } else {
        100
    };
    // Five times as much is still a quota.
    let generous = Quota::per_second(200_000).burst(1_000_000);
    let mut out = std::io::stdout().lock();
    let mut report = |what: &str, nanos: f64| {
        writeln!(out, "decide | {what} | {nanos:.1} ns").expect("the terminal takes a line");
    };

    let limiter = Limiter::new(generous);
    let addr: IpAddr = [192, 0, 2, 1].into();
    report(
        "one client",
        median(rounds, |_| limiter.try_check(&Subject::at(addr), 1)),
    );
    report(
        "10,000 clients in turn",
        median(rounds, |round| {
            limiter.try_check(&Subject::new().connection(round % 10_000), 1)
        }),
    );

    let refusing = Limiter::new(Quota::per_day(1));
    report(
        "one client, refused",
        median(rounds, |_| refusing.try_check(&Subject::at(addr), 1)),
    );

    let large = Arc::new(MemoryStore::bounded(1_000_000));
    let wide = Limiter::in_store(large, generous);
    report(
        "1,000,000 clients at random",
        median(rounds, |round| {
            let spread = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
            wide.try_check(&Subject::new().connection(spread % 1_000_000), 1)
        }),
    );

    let by = |by| {
        Rule::always()
            .by(by)
            .quota(generous)
            .stage(Stage::Identified)
    };
    let rules = Rules::new()
        .rule("client", by(By::Client))
        .rule("user", by(By::User).roles(STANDARD_ROLES))
        .rule("task", Rule::on("task.*").by(By::User).quota(generous));
    let limiter = Limiter::builder(rules).build().expect("valid rules");
    let subject = Subject::user("ada").client(addr);
    report(
        "three rules, two subjects",
        median(rounds, |_| {
            limiter.try_check(&subject, Op::new("task.update"))
        }),
    );

    let store = MemoryStore::bounded(1_000);
    let three = [1, 2, 3].map(|bucket| Charge::new(BucketId::from_u128(bucket), generous, 1));
    report(
        "three charges, digested and timed before",
        median(rounds, |round| {
            store.try_decide(&three, Tick::from_nanos(round * 10_000))
        }),
    );

    let memory = || MemoryStore::bounded(1_000);
    let charge = [Charge::new(BucketId::from_u128(1), generous, 1)];
    let at = |round| Tick::from_nanos(round * 10_000);
    let (alone, both) = (memory(), Fallback::new(memory(), memory()).replicas(3));
    let down = Fallback::new(Down, memory()).replicas(3);
    let stores: [(&str, &dyn RateLimitStore); 3] = [
        ("one charge", &alone),
        ("one charge, and mirrored", &both),
        ("one charge, by a fallback without its primary", &down),
    ];
    for (what, store) in stores {
        report(
            what,
            median(rounds, |round| store.try_decide(&charge, at(round))),
        );
    }
}

/// A primary that is not there.
#[derive(Debug)]
struct Down;

#[async_trait]
impl RateLimitStore for Down {
    fn try_decide(&self, _: &[Charge], _: Tick) -> Option<Decision> {
        None
    }

    async fn decide(self: Arc<Self>, _: Charges, _: Tick) -> Result<Decision, Error> {
        Err(Error::unavailable("it is not there"))
    }

    fn state(&self) -> State {
        State::Down
    }
}

fn median<T>(rounds: u64, mut work: impl FnMut(u64) -> T) -> f64 {
    let clock = Clock::system();
    let mut runs: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = clock.now();
            for round in 0..rounds {
                black_box(work(black_box(round)));
            }
            let took = clock.now().saturating_duration_since(start);
            took.as_nanos() as f64 / rounds as f64
        })
        .collect();
    runs.sort_unstable_by(f64::total_cmp);
    runs[RUNS / 2]
}
