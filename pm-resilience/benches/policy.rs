//! What a call costs that is ready at once, by what guards it: the median of eleven runs.
//!
//! Run with `cargo bench -p pm-resilience --bench policy`

use std::future::{Future, ready};
use std::hint::black_box;
use std::io::Write;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pm_core::Clock;
use pm_resilience::classify::Errors;
use pm_resilience::{
    BreakerSettings, Budget, Class, Deadline, Hedge, HedgeSettings, Policy, Retry, RetrySettings,
    Timeout, Timeouts,
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
    let mut out = std::io::stdout().lock();
    let mut report = |what: &str, nanos: f64| {
        writeln!(out, "policy | {what} | {nanos:.1} ns").expect("the terminal takes a line");
    };
    let ms = Duration::from_millis;
    let answer = || ready(Ok::<u64, u64>(black_box(7)));

    report("bare call", median(rounds, answer));

    let timeout = Timeout::new("t", Timeouts::new()).expect("valid");
    report(
        "time-out",
        median(rounds, || timeout.run(Class::Read, answer())),
    );

    let budget = Budget::percent(20).with_floor_per_second(10);
    let retry = Retry::new("r", RetrySettings::new(), budget.clone()).expect("valid");
    report("retry", median(rounds, || retry.run(Errors, answer)));

    let hedge = Hedge::new("h", HedgeSettings::after(ms(10)), budget).expect("valid");
    report("hedge", median(rounds, || hedge.run(Errors, answer)));

    let bare = Policy::named("p").build().expect("valid");
    report(
        "policy: time-outs",
        median(rounds, || bare.read("a", answer)),
    );

    let with = || {
        Policy::named("p")
            .breaker(BreakerSettings::new())
            .retry(RetrySettings::new())
    };
    let policy = with().build().expect("valid");
    report(
        "policy: retry, breaker, time-outs",
        median(rounds, || policy.read("a", answer)),
    );

    let whole = with().slow_log(ms(100)).build().expect("valid");
    report(
        "policy: slow log, retry, breaker, time-outs",
        median(rounds, || whole.read("a", answer)),
    );

    let deadline = Deadline::after(ms(3_600_000), &Clock::system());
    report(
        "the same under a deadline",
        deadline.in_scope(|| median(rounds, || whole.read("a", answer))),
    );
}

fn median<F: Future>(rounds: u64, mut make: impl FnMut() -> F) -> f64 {
    let clock = Clock::system();
    let mut cx = Context::from_waker(Waker::noop());
    let mut runs: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = clock.now();
            for _ in 0..rounds {
                let future = pin!(make());
                match future.poll(&mut cx) {
                    Poll::Ready(output) => drop(black_box(output)),
                    Poll::Pending => unreachable!("what is called is ready"),
                }
            }
            let took = clock.now().saturating_duration_since(start);
            took.as_nanos() as f64 / rounds as f64
        })
        .collect();
    runs.sort_unstable_by(f64::total_cmp);
    runs[RUNS / 2]
}
