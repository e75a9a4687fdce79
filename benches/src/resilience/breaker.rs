//! A call that is answered at once, through a breaker that is closed.
//!
//! Rows of a handle guard a future that is given; rows of a layer guard a service.

use std::time::Duration;

use failsafe::futures::CircuitBreaker;
use failsafe::{backoff, failure_policy};
use pm_core::Clock;
use pm_resilience::breaker::{Breaker, BreakerLayer, BreakerSettings, Window};
use pm_resilience::{Error, Outcome};
use recloser::{AsyncRecloser, Recloser};
use tower::{Layer, Service, service_fn};
use tower_resilience_circuitbreaker::{CircuitBreakerConfigBuilder, CircuitBreakerLayer};

use super::{CALLS, answer, at_once, calls};
use crate::harness::{Race, Rounds, Threads};

const OPEN_FOR: Duration = Duration::from_secs(30);

pub(super) fn consecutive() -> Race {
    let (ours, recloser, failsafe) = (breaker(settings()), recloser(), failsafe_consecutive());
    Race::new(Rounds::new(CALLS, move |round| guarded(&ours, round)))
        .against(
            "recloser",
            Rounds::new(CALLS, move |round| reclosed(&recloser, round)),
        )
        .at_most(0.4)
        .against(
            "failsafe",
            Rounds::new(CALLS, move |round| safe(&failsafe, round)),
        )
}

pub(super) fn consecutive_layer() -> Race {
    let peer = CircuitBreakerLayer::builder().consecutive_failures(5);
    Race::new(calls(layered(breaker(settings()))))
        .against("tower-resilience-circuitbreaker", calls(theirs(peer)))
}

pub(super) fn rate() -> Race {
    let (ours, recloser, failsafe) = (breaker(rates()), recloser(), failsafe_rate());
    Race::new(Rounds::new(CALLS, move |round| guarded(&ours, round)))
        .against(
            "recloser",
            Rounds::new(CALLS, move |round| reclosed(&recloser, round)),
        )
        .at_most(1.0)
        .against(
            "failsafe",
            Rounds::new(CALLS, move |round| safe(&failsafe, round)),
        )
}

pub(super) fn rate_layer() -> Race {
    let peer = CircuitBreakerLayer::builder().sliding_window_size(100);
    Race::new(calls(layered(breaker(rates()))))
        .against("tower-resilience-circuitbreaker", calls(theirs(peer)))
}

pub(super) fn slow_call() -> Race {
    let second = Duration::from_secs(1);
    let settings = rates().with_slow_calls(0.5, second);
    let peer = CircuitBreakerLayer::builder()
        .sliding_window_size(100)
        .slow_call_duration_threshold(second)
        .slow_call_rate_threshold(0.5);
    // As ours is on the counter wherever it has to look at a clock, twice for each call here.
    let counted = breaker(settings).with_clock(Clock::counter());
    Race::new(calls(layered(counted)))
        .against("tower-resilience-circuitbreaker", calls(theirs(peer)))
        .at_most(0.3)
}

pub(super) fn on_two_threads() -> Race {
    let (recloser, failsafe) = (recloser(), failsafe_consecutive());
    shared(breaker(settings()))
        .at_most(1.3)
        .against(
            "recloser",
            Threads::new(2, CALLS, move |round| reclosed(&recloser, round)),
        )
        .against(
            "failsafe",
            Threads::new(2, CALLS, move |round| safe(&failsafe, round)),
        )
}

pub(super) fn time_on_two_threads() -> Race {
    let failsafe = failsafe_rate();
    let settings = rates().with_window(Window::time(Duration::from_secs(10)));
    shared(breaker(settings).with_clock(Clock::counter()))
        .at_most(1.3)
        .against(
            "failsafe",
            Threads::new(2, CALLS, move |round| safe(&failsafe, round)),
        )
}

/// The window is exact: its threads take turns.
pub(super) fn calls_on_two_threads() -> Race {
    let recloser = recloser();
    shared(breaker(rates())).against(
        "recloser",
        Threads::new(2, CALLS, move |round| reclosed(&recloser, round)),
    )
}

/// Each call clones the service, and its future holds a handle of its own. The peer waits for a lock then,
/// and cannot be called without a runtime.
pub(super) fn layer_on_two_threads() -> Race {
    let ours = BreakerLayer::new(breaker(settings())).layer(service_fn(answer));
    let alone = ours.clone();
    Race::new(Threads::new(2, CALLS, move |round| {
        at_once(ours.clone().call(round))
    }))
    .against(
        "pm-resilience",
        Threads::new(1, CALLS, move |round| at_once(alone.clone().call(round))),
    )
}

/// A breaker on two threads beside itself on one: what it costs to share it.
fn shared(breaker: Breaker) -> Race {
    let alone = breaker.clone();
    Race::new(Threads::new(2, CALLS, move |round| {
        guarded(&breaker, round)
    }))
    .against(
        "pm-resilience",
        Threads::new(1, CALLS, move |round| guarded(&alone, round)),
    )
}

/// Five in a row.
fn settings() -> BreakerSettings {
    BreakerSettings::new()
}

/// Half of the last 100 calls.
fn rates() -> BreakerSettings {
    settings()
        .with_consecutive_failures(0)
        .with_failure_rate(0.5)
}

fn breaker(settings: BreakerSettings) -> Breaker {
    Breaker::new("bench", settings).expect("valid settings")
}

fn guarded(breaker: &Breaker, round: u64) -> u64 {
    let call = async {
        let permit = breaker.try_acquire()?;
        let result = answer(round).await;
        permit.settle(if result.is_ok() {
            Outcome::Success
        } else {
            Outcome::Failure
        });
        result.map_err(Error::Inner)
    };
    at_once(call)
}

/// Half of the last 100 calls, too: it knows nothing else.
fn recloser() -> AsyncRecloser {
    let recloser = Recloser::custom().error_rate(0.5).closed_len(100);
    AsyncRecloser::from(recloser.open_wait(OPEN_FOR).build())
}

fn reclosed(recloser: &AsyncRecloser, round: u64) -> u64 {
    at_once(recloser.call(answer(round)))
}

fn failsafe_consecutive() -> impl CircuitBreaker + Sync {
    let policy = failure_policy::consecutive_failures(5, backoff::constant(OPEN_FOR));
    failsafe::Config::new().failure_policy(policy).build()
}

/// It has no window of calls.
fn failsafe_rate() -> impl CircuitBreaker + Sync {
    let policy = failure_policy::success_rate_over_time_window(
        0.5,
        20,
        Duration::from_secs(10),
        backoff::constant(OPEN_FOR),
    );
    failsafe::Config::new().failure_policy(policy).build()
}

fn safe(breaker: &impl CircuitBreaker, round: u64) -> u64 {
    at_once(breaker.call(answer(round)))
}

fn layered(
    breaker: Breaker,
) -> impl Service<u64, Response = u64, Error: std::fmt::Debug> + 'static {
    BreakerLayer::new(breaker).layer(service_fn(answer))
}

fn theirs(
    builder: CircuitBreakerConfigBuilder<tower_resilience_circuitbreaker::DefaultClassifier>,
) -> impl Service<u64, Response = u64, Error: std::fmt::Debug> + 'static {
    let layer = builder.wait_duration_in_open(OPEN_FOR).build();
    layer
        .expect("a valid configuration")
        .layer_fn(service_fn(answer))
}
