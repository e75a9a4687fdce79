//! Every interleaving of a few threads, as far as loom's memory model goes:
//! `RUSTFLAGS="--cfg pm_loom" cargo test -p pm-resilience --release --lib loom`

use std::time::Duration;

use loom::thread;
use pm_core::{Clock, ManualTime};

use super::{Breaker, BreakerSettings, Permit, State, Window};
use crate::Outcome;

const OPEN_FOR: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(10);

fn breaker(settings: BreakerSettings) -> (Breaker, ManualTime) {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::new("loom", settings).expect("valid settings");
    (breaker.with_clock(clock), time)
}

/// Opens with the first failure.
fn touchy() -> BreakerSettings {
    BreakerSettings::new().with_consecutive_failures(1)
}

/// One that may be probed now.
fn due(settings: BreakerSettings) -> (Breaker, ManualTime) {
    let (breaker, time) = breaker(settings);
    call(&breaker, Outcome::Failure);
    assert_eq!(breaker.state(), State::Open);
    time.advance(OPEN_FOR);
    (breaker, time)
}

fn call(breaker: &Breaker, outcome: Outcome) {
    if let Ok(permit) = breaker.try_acquire() {
        permit.settle(outcome);
    }
}

fn beside(breaker: &Breaker, act: impl FnOnce(Breaker) + Send + 'static) -> thread::JoinHandle<()> {
    let breaker = breaker.clone();
    thread::spawn(move || act(breaker))
}

#[test]
fn failures_in_a_row_are_counted_across_threads() {
    loom::model(|| {
        let (breaker, _time) = breaker(BreakerSettings::new().with_consecutive_failures(3));
        let others: Vec<_> = (0..2)
            .map(|_| beside(&breaker, |breaker| call(&breaker, Outcome::Failure)))
            .collect();
        call(&breaker, Outcome::Failure);
        for other in others {
            other.join().expect("no panic");
        }
        let stats = breaker.stats();
        assert_eq!((stats.state, stats.transitions), (State::Open, 1));
    });
}

#[test]
fn two_failures_that_are_both_too_many_are_one_transition() {
    loom::model(|| {
        let (breaker, _time) = breaker(touchy());
        let (mine, theirs) = (breaker.try_acquire(), breaker.try_acquire_owned());
        let theirs = theirs.expect("closed");
        let other = thread::spawn(move || theirs.settle(Outcome::Failure));
        mine.expect("closed").settle(Outcome::Failure);
        other.join().expect("no panic");
        let stats = breaker.stats();
        assert_eq!((stats.state, stats.transitions), (State::Open, 1));
        let rejection = breaker.try_acquire().expect_err("open");
        assert_eq!(rejection.retry_after(), Some(OPEN_FOR), "with its deadline");
    });
}

#[test]
fn a_success_beside_a_failure_loses_no_transition() {
    loom::model(|| {
        let (breaker, _time) = breaker(BreakerSettings::new().with_consecutive_failures(2));
        call(&breaker, Outcome::Failure);
        let other = beside(&breaker, |breaker| call(&breaker, Outcome::Success));
        call(&breaker, Outcome::Failure);
        other.join().expect("no panic");
        let stats = breaker.stats();
        match stats.state {
            State::Open => assert_eq!(stats.transitions, 1),
            // The success was before the failure, or behind it: the failure was no reset.
            State::Closed => assert!(stats.counts.in_a_row <= 1),
            other => panic!("{other}"),
        }
    });
}

#[test]
fn of_three_callers_one_is_the_probe() {
    loom::model(|| {
        let (breaker, _time) = due(touchy());
        let others: Vec<_> = (0..2)
            .map(|_| {
                let breaker = breaker.clone();
                thread::spawn(move || breaker.try_acquire_owned().ok())
            })
            .collect();
        let mine = breaker.try_acquire_owned().ok();
        let mut permits: Vec<Permit> = mine.into_iter().collect();
        for other in others {
            permits.extend(other.join().expect("no panic"));
        }
        assert_eq!(permits.len(), 1);
        permits.remove(0).settle(Outcome::Success);
        assert_eq!(breaker.state(), State::Closed);
    });
}

#[test]
fn a_late_result_does_not_decide_for_the_probe() {
    loom::model(|| {
        let (breaker, time) = breaker(touchy());
        let late = breaker.try_acquire_owned().expect("closed");
        call(&breaker, Outcome::Failure);
        time.advance(OPEN_FOR);
        let other = thread::spawn(move || late.settle(Outcome::Failure));
        call(&breaker, Outcome::Success);
        other.join().expect("no panic");
        let stats = breaker.stats();
        assert_eq!((stats.state, stats.ignored), (State::Closed, 1));
        assert_eq!(stats.counts.in_a_row, 0);
    });
}

#[test]
fn a_lost_probe_is_replaced_once_and_its_result_is_late() {
    loom::model(|| {
        let (breaker, time) = due(touchy());
        let lost = breaker.try_acquire_owned().expect("the probe");
        time.advance(LEASE);
        let other = beside(&breaker, |breaker| {
            if let Ok(permit) = breaker.try_acquire() {
                permit.settle(Outcome::Success);
            }
        });
        lost.settle(Outcome::Failure);
        other.join().expect("no panic");
        let stats = breaker.stats();
        match stats.state {
            // It was replaced before it answered.
            State::Closed => assert_eq!(stats.ignored, 1),
            // It answered before.
            State::Open => assert_eq!(stats.ignored, 0),
            other => panic!("{other}"),
        }
    });
}

#[test]
fn a_probe_that_is_given_back_is_given_out_again() {
    loom::model(|| {
        let (breaker, _time) = due(touchy());
        let probe = breaker.try_acquire_owned().expect("the probe");
        let other = thread::spawn(move || drop(probe));
        let mine = breaker.try_acquire_owned().ok();
        other.join().expect("no panic");
        let mine = mine.or_else(|| breaker.try_acquire_owned().ok());
        mine.expect("there is one").settle(Outcome::Success);
        assert_eq!(breaker.state(), State::Closed);
    });
}

#[test]
fn forcing_it_open_beats_a_probe_that_succeeds() {
    loom::model(|| {
        let (breaker, _time) = due(touchy());
        let probe = breaker.try_acquire_owned().expect("the probe");
        let other = thread::spawn(move || probe.settle(Outcome::Success));
        breaker.force_open("drill");
        other.join().expect("no panic");
        assert_eq!(breaker.state(), State::ForcedOpen);
    });
}

#[test]
fn reload_beside_a_failure_loses_neither() {
    loom::model(|| {
        let (breaker, _time) = breaker(BreakerSettings::new());
        let settings = BreakerSettings::new().with_slow_calls(0.5, LEASE);
        let other = beside(&breaker, |breaker| call(&breaker, Outcome::Failure));
        breaker.reload(settings).expect("valid");
        other.join().expect("no panic");
        let word = breaker.circuit().word();
        assert!(word.is_timed() && word.is_windowed());
        assert_eq!(word.failures(), 1);
    });
}

#[test]
fn failures_of_a_window_are_counted_across_threads() {
    for window in [Window::calls(3), Window::time(LEASE)] {
        loom::model(move || {
            let settings = BreakerSettings::new()
                .with_consecutive_failures(0)
                .with_failure_rate(1.0)
                .with_window(window)
                .with_minimum_calls(2);
            let (breaker, _time) = breaker(settings);
            let other = beside(&breaker, |breaker| call(&breaker, Outcome::Failure));
            call(&breaker, Outcome::Failure);
            other.join().expect("no panic");
            let stats = breaker.stats();
            assert_eq!((stats.state, stats.transitions), (State::Open, 1));
        });
    }
}

#[test]
fn a_window_that_begins_anew_takes_nothing_from_before() {
    for window in [Window::calls(2), Window::time(LEASE)] {
        loom::model(move || {
            let settings = BreakerSettings::new()
                .with_failure_rate(1.0)
                .with_window(window)
                .with_minimum_calls(2);
            let (breaker, _time) = breaker(settings);
            let late = breaker.try_acquire_owned().expect("closed");
            let other = thread::spawn(move || late.settle(Outcome::Failure));
            breaker.force_open("drill");
            breaker.release();
            other.join().expect("no panic");
            assert_eq!(breaker.stats().counts.failed, 0);
        });
    }
}
