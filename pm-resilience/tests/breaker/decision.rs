//! When it opens and closes, as its settings say.

use pm_resilience::breaker::{Cause, Window};
use pm_resilience::{Pattern, Reason};

use super::*;

#[test]
fn only_failures_in_a_row_are_consecutive() {
    let (breaker, _) = breaker(BreakerSettings::new());
    for _ in 0..100 {
        fail(&breaker, 4);
        call(&breaker, Outcome::Success);
    }
    fail(&breaker, 3);
    call(&breaker, Outcome::Ignored);
    call(&breaker, Outcome::retryable());
    assert_eq!(breaker.state(), State::Closed);
    fail(&breaker, 1);
    assert_eq!(
        breaker.state(),
        State::Open,
        "what says nothing is no reset"
    );
}

#[test]
fn a_rejection_says_who_why_and_for_how_long() {
    let (breaker, time) = open(BreakerSettings::new());
    time.advance(12 * SECOND);
    let rejection = breaker.try_acquire().expect_err("open");
    assert_eq!(
        (rejection.name(), rejection.by()),
        ("test", Pattern::Breaker)
    );
    assert_eq!(rejection.reason(), Reason::Open);
    assert_eq!(rejection.retry_after(), Some(18 * SECOND));
    breaker.force_open("drill");
    let rejection = breaker.try_acquire().expect_err("forced");
    assert_eq!(
        (rejection.reason(), rejection.retry_after()),
        (Reason::ForcedOpen, None)
    );
    assert_eq!(breaker.stats().rejected, 2);
}

#[test]
fn any_of_several_conditions_opens_it_and_says_so() {
    let settings = consecutive(6)
        .with_failure_rate(0.5)
        .with_slow_calls(0.3, SECOND)
        .with_window(Window::time(10 * SECOND))
        .with_minimum_calls(10);

    let (by_number, _) = breaker(settings.clone());
    fail(&by_number, 6);
    assert_eq!(
        by_number.stats().opened_by,
        Some(Cause::ConsecutiveFailures)
    );

    let (by_rate, _) = breaker(settings.clone());
    for _ in 0..4 {
        call(&by_rate, Outcome::Failure);
        call(&by_rate, Outcome::Success);
    }
    call(&by_rate, Outcome::Failure);
    assert_eq!(by_rate.state(), State::Closed, "nine are too few to tell");
    fail(&by_rate, 1);
    assert_eq!(by_rate.stats().opened_by, Some(Cause::FailureRate));

    let (by_time, time) = breaker(settings);
    succeed(&by_time, 7);
    for _ in 0..3 {
        let permit = by_time.try_acquire().expect("closed");
        time.advance(SECOND);
        permit.settle(Outcome::Success);
    }
    assert_eq!(by_time.stats().opened_by, Some(Cause::SlowCalls));
}

#[test]
fn a_time_window_forgets() {
    let settings = rates()
        .with_failure_rate(0.5)
        .with_window(Window::time(10 * SECOND))
        .with_minimum_calls(4);
    let (breaker, time) = breaker(settings);
    fail(&breaker, 3);
    time.advance(10 * SECOND);
    fail(&breaker, 3);
    assert_eq!(breaker.stats().counts.calls, 3);
    assert_eq!(breaker.state(), State::Closed);
    fail(&breaker, 1);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_probe_that_is_slow_does_not_close_it_where_slow_calls_are_watched() {
    let settings = BreakerSettings::new().with_slow_calls(0.5, SECOND);
    let (breaker, time) = open(settings);
    time.advance(OPEN_FOR);
    let probe = breaker.try_acquire().expect("the probe");
    time.advance(SECOND);
    probe.settle(Outcome::Success);
    let stats = breaker.stats();
    assert_eq!(
        (stats.state, stats.opened_by),
        (State::Open, Some(Cause::ProbeSlow))
    );
}

#[test]
fn open_time_grows_until_it_closes() {
    let settings = BreakerSettings::new().with_growth(2.0, 100 * SECOND);
    let (breaker, time) = open(settings);
    for seconds in [30, 60, 100, 100] {
        time.advance(Duration::from_secs(seconds) - Duration::from_nanos(1));
        assert!(rejects(&breaker), "{seconds}");
        time.advance(Duration::from_nanos(1));
        call(&breaker, Outcome::Failure);
    }
    time.advance(100 * SECOND);
    call(&breaker, Outcome::Success);
    fail(&breaker, 5);
    time.advance(OPEN_FOR);
    call(&breaker, Outcome::Success);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn jitter_spreads_those_that_opened_together() {
    let settings = BreakerSettings::new().with_jitter(0.5);
    let waits: Vec<Duration> = (0..50)
        .map(|_| {
            let (breaker, _time) = open(settings.clone());
            breaker
                .try_acquire()
                .expect_err("open")
                .retry_after()
                .expect("known")
        })
        .collect();
    assert!(
        waits
            .iter()
            .all(|wait| (OPEN_FOR / 2..=OPEN_FOR).contains(wait))
    );
    assert!(waits.iter().max() > waits.iter().min());
}

#[test]
fn a_time_out_is_a_slow_failure() {
    let settings = rates().with_slow_calls(0.5, SECOND).with_minimum_calls(1);
    let (breaker, _) = breaker(settings);
    breaker.try_acquire().expect("closed").timed_out();
    assert_eq!(breaker.stats().opened_by, Some(Cause::SlowCalls));
}
