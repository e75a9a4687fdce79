//! Other settings, the same state.

use pm_resilience::breaker::Window;

use super::*;

#[test]
fn reload_keeps_where_it_stands_and_until_when() {
    let (breaker, time) = open(BreakerSettings::new());
    let longer = BreakerSettings::new().with_open_for(100 * SECOND);
    breaker.reload(longer.clone()).expect("valid");
    assert_eq!(breaker.settings(), longer);
    time.advance(OPEN_FOR);
    let probe = breaker.try_acquire().expect("it opened for 30 seconds");
    breaker
        .reload(longer.with_consecutive_failures(2))
        .expect("valid");
    probe.settle(Outcome::Success);
    assert_eq!(breaker.state(), State::Closed, "its generation is the same");
    fail(&breaker, 1);
    breaker.reload(consecutive(3)).expect("valid");
    fail(&breaker, 2);
    assert_eq!(breaker.state(), State::Open, "it was one already");
}

#[test]
fn reload_keeps_the_counts_of_the_same_window_and_forgets_those_of_another() {
    for window in [Window::calls(10), Window::time(SECOND)] {
        let settings = rates()
            .with_failure_rate(0.5)
            .with_window(window)
            .with_minimum_calls(8);
        let (breaker, _) = breaker(settings.clone());
        fail(&breaker, 6);
        breaker
            .reload(settings.clone().with_failure_rate(0.9))
            .expect("valid");
        assert_eq!(breaker.stats().counts.failed, 6);
        breaker
            .reload(settings.with_window(Window::calls(11)))
            .expect("valid");
        assert_eq!(breaker.stats().counts.calls, 0);
        fail(&breaker, 7);
        assert_eq!(breaker.state(), State::Closed);
        fail(&breaker, 1);
        assert_eq!(breaker.state(), State::Open);
    }
}

#[test]
fn reload_refuses_what_is_not_valid_and_changes_nothing() {
    let (breaker, _) = breaker(BreakerSettings::new());
    let error = breaker
        .reload(BreakerSettings::new().with_probes(0))
        .expect_err("no probes");
    assert_eq!(error.field(), "probes");
    assert_eq!(breaker.settings(), BreakerSettings::new());
}

#[test]
fn slow_calls_that_are_armed_later_are_timed_from_then_on() {
    let (breaker, time) = breaker(BreakerSettings::new());
    let settings = rates().with_slow_calls(0.5, SECOND).with_minimum_calls(1);
    let before = breaker.try_acquire().expect("closed");
    breaker.reload(settings).expect("valid");
    time.advance(SECOND);
    before.settle(Outcome::Success);
    assert_eq!(
        breaker.state(),
        State::Closed,
        "nobody looked when it began"
    );
    let permit = breaker.try_acquire().expect("closed");
    time.advance(SECOND);
    permit.settle(Outcome::Success);
    assert_eq!(breaker.state(), State::Open);
}
