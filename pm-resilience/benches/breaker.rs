//! What a guarded call of a closed breaker costs, and what the breaker takes: the median of eleven
//! runs.
//!
//! Run with `cargo bench -p pm-resilience --bench breaker`

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::io::Write;
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pm_core::Clock;
use pm_resilience::Outcome;
use pm_resilience::breaker::{Breaker, BreakerLayer, BreakerSettings, Window};
use tower::{Layer, Service, service_fn};

const RUNS: usize = 11;
const ROUNDS: u64 = 1_000_000;
const SECOND: Duration = Duration::from_secs(1);

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let rounds = if std::env::args().any(|arg| arg == "--bench") {
        ROUNDS
    } else {
        100
    };
    let mut out = std::io::stdout().lock();
    let mut report = |what: &str, cost: &dyn std::fmt::Display| {
        writeln!(out, "breaker | {what} | {cost}").expect("the terminal takes a line");
    };
    let nanos = |nanos: f64| format!("{nanos:.1} ns");

    report(
        "bare service",
        &nanos(median(rounds, calls(service_fn(answer)))),
    );
    for (what, settings) in [
        ("consecutive", BreakerSettings::new()),
        ("rate, 100 calls", rate(Window::calls(100))),
        ("rate, 8,192 calls", rate(Window::calls(8_192))),
        ("rate, 10 s", rate(Window::time(10 * SECOND))),
        (
            "slow calls, 100 calls",
            BreakerSettings::new().with_slow_calls(0.5, SECOND),
        ),
    ] {
        let memory = allocation_counter::measure(|| drop(black_box(breaker(&settings))));
        report(
            &format!("{what}, memory"),
            &format!("{} bytes", memory.bytes_max),
        );

        let handle = breaker(&settings);
        report(
            &format!("{what}, handle"),
            &nanos(median(rounds, |_| guarded(&handle))),
        );
        let two = median_of_two_threads(rounds, || |_| guarded(&handle));
        report(&format!("{what}, handle, 2 threads"), &nanos(two));

        let layer = BreakerLayer::new(breaker(&settings));
        let service = layer.layer(service_fn(answer));
        report(
            &format!("{what}, layer"),
            &nanos(median(rounds, calls(service))),
        );
        let two = median_of_two_threads(rounds, || calls(layer.layer(service_fn(answer))));
        report(&format!("{what}, layer, 2 threads"), &nanos(two));
    }

    for in_window in [100, 100_000] {
        let (clock, time) = Clock::manual();
        let settings = rate(Window::time(10 * SECOND));
        let handle = Breaker::new("bench", settings)
            .expect("valid")
            .with_clock(clock);
        let fill = |calls: u64| {
            for _ in 0..calls {
                guarded(&handle);
                time.advance(10 * SECOND / in_window);
            }
        };
        fill(2 * u64::from(in_window));
        let success = median(rounds, |_| guarded(&handle));
        report(
            &format!("10 s, {in_window} calls in the window, a success"),
            &nanos(success),
        );
        let failure = median(rounds / 10, |round| {
            let failed = round % 2 == 0;
            let permit = handle.try_acquire().expect("half of them do not open it");
            permit.settle(if failed {
                Outcome::Failure
            } else {
                Outcome::Success
            });
        });
        report(
            &format!("10 s, {in_window} calls in the window, half failures"),
            &nanos(failure),
        );
    }

    let open = breaker(&BreakerSettings::new());
    (0..5).for_each(|_| open.try_acquire().expect("closed").settle(Outcome::Failure));
    report(
        "open, rejected",
        &nanos(median(rounds, |_| open.try_acquire().is_err())),
    );
}

fn rate(window: Window) -> BreakerSettings {
    BreakerSettings::new()
        .with_consecutive_failures(0)
        .with_failure_rate(0.9)
        .with_window(window)
}

fn breaker(settings: &BreakerSettings) -> Breaker {
    Breaker::new("bench", settings.clone()).expect("valid settings")
}

fn guarded(breaker: &Breaker) {
    let permit = breaker.try_acquire().expect("closed");
    black_box(());
    permit.settle(Outcome::Success);
}

fn answer(number: u64) -> Ready<Result<u64, Infallible>> {
    ready(Ok(number))
}

/// Calls a service whose answer is ready.
fn calls<S: Service<u64>>(
    mut service: S,
) -> impl FnMut(u64) -> Poll<Result<S::Response, S::Error>> {
    move |round| {
        let mut cx = Context::from_waker(Waker::noop());
        let _ready = service.poll_ready(&mut cx);
        let call = pin!(service.call(round));
        call.poll(&mut cx)
    }
}

fn median<T>(rounds: u64, mut work: impl FnMut(u64) -> T) -> f64 {
    middle((0..RUNS).map(|_| run(rounds, &mut work)))
}

/// On each of two threads, what it takes there.
fn median_of_two_threads<T, W: FnMut(u64) -> T>(rounds: u64, work: impl Fn() -> W + Sync) -> f64 {
    middle((0..RUNS).map(|_| {
        let barrier = Barrier::new(2);
        let (barrier, work) = (&barrier, &work);
        let times: Vec<f64> = std::thread::scope(|scope| {
            let threads = [(); 2].map(|()| {
                scope.spawn(move || {
                    let mut work = work();
                    barrier.wait();
                    run(rounds, &mut work)
                })
            });
            threads
                .map(|thread| thread.join().expect("no panic"))
                .into()
        });
        times.iter().sum::<f64>() / 2.0
    }))
}

fn run<T>(rounds: u64, work: &mut impl FnMut(u64) -> T) -> f64 {
    let clock = Clock::system();
    let start = clock.now();
    for round in 0..rounds {
        black_box(work(black_box(round)));
    }
    let took = clock.now().saturating_duration_since(start);
    took.as_nanos() as f64 / rounds as f64
}

fn middle(runs: impl Iterator<Item = f64>) -> f64 {
    let mut runs: Vec<f64> = runs.collect();
    runs.sort_unstable_by(f64::total_cmp);
    runs[runs.len() / 2]
}
