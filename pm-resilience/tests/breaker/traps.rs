//! Pitfalls that other breakers are in.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use pm_resilience::Reason;
use pm_resilience::breaker::{Cause, Window};

use super::*;

#[test]
fn trap_a_a_count_window_slides() {
    let window = rates()
        .with_failure_rate(0.5)
        .with_window(Window::calls(10))
        .with_minimum_calls(10);
    let (breaker, _) = breaker(window);
    succeed(&breaker, 1_000);
    fail(&breaker, 4);
    assert_eq!(breaker.state(), State::Closed);
    fail(&breaker, 1);
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.stats().opened_by, Some(Cause::FailureRate));
}

#[test]
fn trap_b_a_late_result_of_an_older_generation_changes_nothing() {
    for late_outcome in [Outcome::Success, Outcome::Failure] {
        let (breaker, time) = breaker(BreakerSettings::new());
        let late = breaker.try_acquire().expect("closed");
        let later = breaker.try_acquire().expect("closed");
        fail(&breaker, 5);
        time.advance(OPEN_FOR);
        let probe = breaker.try_acquire().expect("the probe");
        late.settle(late_outcome);
        assert_eq!(breaker.state(), State::HalfOpen, "the probe decides");
        assert!(rejects(&breaker), "its place was given away");
        probe.settle(Outcome::Success);
        later.settle(late_outcome);
        assert_eq!(breaker.state(), State::Closed);
        assert_eq!(breaker.stats().counts.in_a_row, 0);
        assert_eq!(breaker.stats().ignored, 2);
    }
}

#[test]
fn trap_b_holds_for_windows_too() {
    for window in [Window::calls(4), Window::time(SECOND)] {
        let settings = rates()
            .with_failure_rate(0.5)
            .with_window(window)
            .with_minimum_calls(2);
        let (breaker, time) = breaker(settings);
        let late: Vec<_> = (0..4)
            .map(|_| breaker.try_acquire().expect("closed"))
            .collect();
        fail(&breaker, 2);
        time.advance(OPEN_FOR);
        call(&breaker, Outcome::Success);
        late.into_iter()
            .for_each(|permit| permit.settle(Outcome::Failure));
        let stats = breaker.stats();
        assert_eq!((stats.state, stats.ignored), (State::Closed, 4));
        assert_eq!((stats.counts.calls, stats.counts.failed), (0, 0));
    }
}

#[test]
fn trap_c_a_probe_that_hangs_is_replaced_after_its_lease() {
    let (breaker, time) = open(BreakerSettings::new());
    time.advance(OPEN_FOR);
    let hangs = breaker.try_acquire().expect("the probe");
    time.advance(LEASE - Duration::from_nanos(1));
    let rejection = breaker.try_acquire().expect_err("it may still answer");
    assert_eq!(rejection.reason(), Reason::Probing);
    assert_eq!(rejection.retry_after(), Some(Duration::from_nanos(1)));
    time.advance(Duration::from_nanos(1));
    let probe = breaker.try_acquire().expect("another one");
    hangs.settle(Outcome::Failure);
    assert_eq!(breaker.state(), State::HalfOpen, "it is late");
    assert!(rejects(&breaker), "still one at a time");
    probe.settle(Outcome::Success);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn trap_c_a_lost_probe_keeps_what_the_others_have_shown() {
    let (breaker, time) = open(BreakerSettings::new().with_probes(3));
    time.advance(OPEN_FOR);
    let _hangs = breaker.try_acquire().expect("the first");
    succeed(&breaker, 2);
    assert!(rejects(&breaker));
    time.advance(LEASE);
    call(&breaker, Outcome::Success);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn trap_d_never_more_probes_than_there_may_be_under_100_callers() {
    for probes in [1, 3] {
        let (breaker, time) = open(BreakerSettings::new().with_probes(probes));
        time.advance(OPEN_FOR);
        let start = Barrier::new(100);
        let (in_flight, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let admitted: usize = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..100)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        let permit = breaker.try_acquire();
                        if permit.is_ok() {
                            let now = in_flight.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(now, Ordering::SeqCst);
                        }
                        start.wait();
                        let admitted = permit.is_ok();
                        if let Ok(permit) = permit {
                            permit.settle(Outcome::Success);
                        }
                        usize::from(admitted)
                    })
                })
                .collect();
            callers
                .into_iter()
                .map(|caller| caller.join().unwrap())
                .sum()
        });
        assert_eq!(admitted, usize::from(probes));
        assert_eq!(most.into_inner(), usize::from(probes));
        assert_eq!(breaker.state(), State::Closed);
    }
}

#[test]
fn trap_e_memory_does_not_grow_with_traffic() {
    for window in [
        Window::calls(8_192),
        Window::time(Duration::from_secs(3_600)),
    ] {
        let settings = BreakerSettings::new()
            .with_failure_rate(0.9)
            .with_slow_calls(0.9, SECOND)
            .with_window(window);
        let (breaker, time) = breaker(settings);
        let traffic = allocation_counter::measure(|| {
            for round in 0..100_000 {
                let outcome = if round % 3 == 0 {
                    Outcome::Failure
                } else {
                    Outcome::Success
                };
                call(&breaker, outcome);
                time.advance(Duration::from_micros(50));
            }
        });
        assert_eq!(traffic.count_total, 0, "{window:?}");
    }
}

#[test]
fn a_breaker_takes_no_more_than_4_kib() {
    let day = Duration::from_secs(24 * 60 * 60);
    for window in [
        Window::calls(8_192),
        Window::time(day),
        Window::time(day).with_slices(60),
    ] {
        let settings = BreakerSettings::new()
            .with_failure_rate(0.9)
            .with_slow_calls(0.9, SECOND)
            .with_window(window);
        let memory = allocation_counter::measure(|| {
            drop(Breaker::new("test", settings.clone()).expect("valid settings"));
        });
        assert!(
            memory.bytes_max <= 4_096,
            "{window:?}: {}",
            memory.bytes_max
        );
    }
}

#[test]
fn trap_f_a_dropped_call_counts_once_it_was_slow() {
    let slow = |settings: BreakerSettings| settings.with_slow_calls(0.5, SECOND);
    for (settings, enough) in [
        (BreakerSettings::new(), LEASE),
        (slow(consecutive(5)), SECOND),
    ] {
        let cut_off = |breaker: &Breaker, time: &ManualTime, after: Duration| {
            let mut permit = breaker.try_acquire().expect("closed");
            permit.waiting();
            time.advance(after);
            drop(permit);
        };
        let (breaker, time) = breaker(settings);
        for _ in 0..50 {
            cut_off(&breaker, &time, enough - Duration::from_nanos(1));
        }
        assert_eq!(breaker.state(), State::Closed, "too early to tell");
        assert_eq!(breaker.stats().inconclusive, 50);
        fail(&breaker, 1);
        for _ in 0..4 {
            cut_off(&breaker, &time, enough);
        }
        assert_eq!(
            breaker.state(),
            State::Open,
            "five in a row, and no reset in between"
        );
    }
}

#[test]
fn trap_f_what_its_caller_did_not_leave_the_time_says_nothing() {
    let (breaker, time) = breaker(BreakerSettings::new());
    for cut_off in [drop::<Permit<&Breaker>>, Permit::timed_out] {
        for _ in 0..10 {
            let mut permit = breaker.try_acquire().expect("closed");
            permit.waiting();
            permit.curtail();
            time.advance(LEASE);
            cut_off(permit);
        }
    }
    assert_eq!(
        (breaker.state(), breaker.stats().counts.in_a_row),
        (State::Closed, 0)
    );
    for _ in 0..5 {
        let mut permit = breaker.try_acquire().expect("closed");
        permit.curtail();
        permit.settle(Outcome::Failure);
    }
    assert_eq!(breaker.state(), State::Open, "a result counts all the same");
}

#[test]
fn trap_h_a_panic_frees_the_place_of_a_probe() {
    let (breaker, time) = open(BreakerSettings::new());
    time.advance(OPEN_FOR);
    let panicked = std::panic::catch_unwind(|| {
        let _permit = breaker.try_acquire().expect("the probe");
        panic!("in the call");
    });
    assert!(panicked.is_err());
    assert_eq!(breaker.state(), State::HalfOpen);
    call(&breaker, Outcome::Success);
    assert_eq!(breaker.state(), State::Closed);
}
