//! Forced states, modes, and who follows them.

use pm_resilience::breaker::Mode;
use pm_testing::drive;

use super::*;

#[test]
fn forcing_it_open_beats_a_probe_that_succeeds() {
    let (breaker, time) = open(BreakerSettings::new());
    time.advance(OPEN_FOR);
    let probe = breaker.try_acquire().expect("the probe");
    breaker.force_open("drill");
    probe.settle(Outcome::Success);
    assert_eq!(breaker.state(), State::ForcedOpen);
    time.advance(100 * OPEN_FOR);
    assert!(rejects(&breaker));
    breaker.release();
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn what_is_forced_closed_stays_so_until_it_is_released() {
    let (breaker, _) = open(BreakerSettings::new());
    breaker.release();
    assert_eq!(breaker.state(), State::Open, "nobody has forced it");
    breaker.force_close("false alarm");
    fail(&breaker, 100);
    assert_eq!(breaker.state(), State::ForcedClosed);
    breaker.release();
    fail(&breaker, 4);
    assert_eq!(breaker.state(), State::Closed, "it has counted nothing yet");
    fail(&breaker, 1);
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn one_that_only_observes_goes_through_its_states_and_rejects_nothing() {
    let (breaker, time) = open(BreakerSettings::new().with_mode(Mode::ObserveOnly));
    fail(&breaker, 10);
    assert_eq!(
        (breaker.state(), breaker.stats().observed),
        (State::Open, 10)
    );
    time.advance(OPEN_FOR);
    let probe = breaker.try_acquire().expect("the probe");
    fail(&breaker, 1);
    assert_eq!(breaker.state(), State::HalfOpen, "no probe");
    probe.settle(Outcome::Success);
    assert_eq!(breaker.state(), State::Closed);
    breaker.force_open("drill");
    assert!(rejects(&breaker), "by hand is by hand");
}

#[test]
fn one_that_is_disabled_looks_at_nothing() {
    let (breaker, _) = breaker(BreakerSettings::new().with_mode(Mode::Disabled));
    fail(&breaker, 100);
    assert_eq!(breaker.state(), State::Disabled);
    breaker.reload(BreakerSettings::new()).expect("valid");
    assert_eq!(breaker.state(), State::Closed);
    fail(&breaker, 5);
    breaker
        .reload(BreakerSettings::new().with_mode(Mode::Disabled))
        .expect("valid");
    assert_eq!(breaker.state(), State::Disabled);
    breaker.force_open("drill");
    breaker.release();
    assert_eq!(breaker.state(), State::Disabled);
}

#[test]
fn changes_are_followed() {
    let (breaker, _) = breaker(BreakerSettings::new());
    let mut changes = breaker.changes();
    let mut next = poll_once(changes.next());
    assert_eq!(next(), None);
    fail(&breaker, 5);
    assert_eq!(next(), Some(State::Open));
    drop(next);
    breaker.force_close("drill");
    breaker.release();
    assert_eq!(
        drive(changes.next()),
        State::Closed,
        "the latest, not every one"
    );
}
