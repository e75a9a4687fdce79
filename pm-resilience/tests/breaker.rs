//! The breaker as a handle, in virtual time. Traps are pitfalls that other breakers are in.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pm_core::{Clock, ManualTime};
use pm_resilience::breaker::{
    Breaker, BreakerSettings, Cause, KeyedBreakers, Mode, Permit, State, Window,
};
use pm_resilience::{Outcome, Pattern, Reason};
use pm_testing::drive;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const OPEN_FOR: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(10);

fn breaker(settings: BreakerSettings) -> (Breaker, ManualTime) {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::new("test", settings).expect("valid settings");
    (breaker.with_clock(clock), time)
}

fn consecutive(failures: u16) -> BreakerSettings {
    BreakerSettings::new().with_consecutive_failures(failures)
}

/// Only rates.
fn rates() -> BreakerSettings {
    consecutive(0)
}

fn call(breaker: &Breaker, outcome: Outcome) {
    breaker.try_acquire().expect("let in").settle(outcome);
}

fn succeed(breaker: &Breaker, calls: usize) {
    (0..calls).for_each(|_| call(breaker, Outcome::Success));
}

fn fail(breaker: &Breaker, calls: usize) {
    (0..calls).for_each(|_| call(breaker, Outcome::Failure));
}

fn rejects(breaker: &Breaker) -> bool {
    breaker.try_acquire().map(Permit::ignore).is_err()
}

/// A breaker that is open.
fn open(settings: BreakerSettings) -> (Breaker, ManualTime) {
    let (breaker, time) = breaker(settings);
    fail(&breaker, 5);
    assert_eq!(breaker.state(), State::Open);
    (breaker, time)
}

// ---- the traps ----

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

// ---- what the settings say ----

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

// ---- by hand ----

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

// ---- what is told ----

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

/// Polls a future each time that it is called.
fn poll_once<F: Future>(future: F) -> impl FnMut() -> Option<F::Output> {
    let mut future = Box::pin(future);
    move || {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}

// ---- many of them ----

fn keyed(capacity: usize) -> (KeyedBreakers<u32>, ManualTime) {
    let (clock, time) = Clock::manual();
    let capacity = capacity.try_into().expect("not 0");
    let breakers = KeyedBreakers::new("hosts", BreakerSettings::new(), capacity);
    (breakers.expect("valid").with_clock(clock), time)
}

#[test]
fn each_key_has_a_breaker_of_its_own() {
    let (breakers, _) = keyed(10);
    fail(&breakers.get(&7), 5);
    assert_eq!(breakers.get(&7).state(), State::Open);
    assert_eq!(breakers.get(&8).state(), State::Closed);
    assert_eq!(breakers.len(), 2);
}

#[test]
fn idle_ones_make_room_and_open_ones_never_do() {
    let (breakers, _) = keyed(10);
    fail(&breakers.get(&3), 5);
    let held = breakers.get(&4);
    for key in 100..10_000 {
        call(&breakers.get(&key), Outcome::Failure);
    }
    assert_eq!(breakers.len(), 10);
    assert_eq!(breakers.get(&3).state(), State::Open);
    fail(&held, 5);
    assert_eq!(
        breakers.get(&4).state(),
        State::Open,
        "it is still the one that is held"
    );
    assert_eq!(breakers.overflowed(), 0);
}

#[test]
fn one_that_is_in_use_stays_while_others_come_and_go() {
    let (breakers, _) = keyed(4);
    fail(&breakers.get(&0), 4);
    for key in 1..1_000 {
        let _ = breakers.get(&key);
        assert_eq!(breakers.get(&0).stats().counts.in_a_row, 4, "{key}");
    }
}

#[test]
fn those_for_whom_there_is_no_room_share_one() {
    let (breakers, _) = keyed(2);
    fail(&breakers.get(&0), 5);
    fail(&breakers.get(&1), 5);
    fail(&breakers.get(&2), 3);
    fail(&breakers.get(&3), 2);
    assert_eq!(breakers.get(&4).state(), State::Open);
    assert_eq!((breakers.len(), breakers.overflowed()), (2, 3));
    breakers.get(&0).force_close("repaired");
    breakers.get(&0).release();
    assert_eq!(
        breakers.get(&4).state(),
        State::Closed,
        "there is room again"
    );
}

#[test]
fn open_ones_that_nobody_probes_make_room_in_the_end() {
    let (breakers, time) = keyed(3);
    for key in 0..3 {
        fail(&breakers.get(&key), 5);
    }
    breakers.get(&2).force_open("it is gone");
    time.advance(OPEN_FOR);
    // A probe that is cancelled: half open, and nobody comes any more.
    drop(breakers.get(&1).try_acquire().expect("a probe"));
    time.advance(OPEN_FOR - Duration::from_nanos(1));
    drop(breakers.get(&10));
    assert_eq!(breakers.overflowed(), 1, "not before");
    time.advance(Duration::from_nanos(1));
    fail(&breakers.get(&11), 1);
    assert_eq!(breakers.get(&11).stats().counts.in_a_row, 1, "its own");
    assert_eq!(breakers.get(&1).state(), State::HalfOpen);

    time.advance(OPEN_FOR + Duration::from_secs(10));
    for key in 20..40 {
        drop(breakers.get(&key));
    }
    assert_eq!(breakers.overflowed(), 1, "there was room for all");
    assert_eq!(breakers.get(&1).state(), State::Closed, "another one");
    assert_eq!(breakers.get(&2).state(), State::ForcedOpen);
}

#[test]
fn settings_of_all_keys_are_replaced_together() {
    let (breakers, _) = keyed(10);
    fail(&breakers.get(&1), 1);
    breakers.reload(consecutive(2)).expect("valid");
    fail(&breakers.get(&1), 1);
    assert_eq!(breakers.get(&1).state(), State::Open);
    fail(&breakers.get(&2), 2);
    assert_eq!(breakers.get(&2).state(), State::Open);
    assert!(breakers.reload(consecutive(0)).is_err());
}

// ---- properties ----

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Success),
        Just(Outcome::Failure),
        Just(Outcome::retryable()),
        Just(Outcome::Ignored),
    ]
}

proptest! {
    /// It opens with the failure that makes five in a row by default, not before, and whatever was
    /// before.
    #[test]
    fn p004_17_it_opens_on_consecutive_failures(
        limit in prop_oneof![Just(5u16), 1u16..20],
        outcomes in proptest::collection::vec(outcome(), 0..200),
    ) {
        let default = BreakerSettings::new();
        prop_assert_eq!(default.consecutive_failures, 5);
        let (breaker, _) = breaker(default.with_consecutive_failures(limit));
        let mut in_a_row = 0;
        for outcome in outcomes {
            let permit = breaker.try_acquire();
            prop_assert_eq!(permit.is_ok(), in_a_row < limit);
            let Ok(permit) = permit else { break };
            permit.settle(outcome);
            match outcome {
                Outcome::Success => in_a_row = 0,
                outcome if outcome.is_failure() => in_a_row += 1,
                _ => {}
            }
            let expected = if in_a_row < limit { State::Closed } else { State::Open };
            prop_assert_eq!(breaker.state(), expected);
        }
    }

    /// After 30 seconds by default, and not before, one call of any number is let in; it closes the
    /// breaker or opens it again.
    #[test]
    fn p004_18_half_open_lets_one_probe_decide(
        early in 0u64..30_000,
        callers in 1usize..50,
        succeeds in any::<bool>(),
    ) {
        let (breaker, time) = open(BreakerSettings::new());
        time.advance(Duration::from_millis(early));
        prop_assert!(rejects(&breaker));
        time.advance(Duration::from_millis(30_000 - early));
        let mut probes: Vec<_> = (0..callers).filter_map(|_| breaker.try_acquire().ok()).collect();
        prop_assert_eq!(probes.len(), 1);
        prop_assert_eq!(breaker.state(), State::HalfOpen);
        let outcome = if succeeds { Outcome::Success } else { Outcome::Failure };
        probes.remove(0).settle(outcome);
        let expected = if succeeds { State::Closed } else { State::Open };
        prop_assert_eq!(breaker.state(), expected);
        prop_assert_eq!(rejects(&breaker), !succeeds);
        if !succeeds {
            time.advance(OPEN_FOR);
            prop_assert!(breaker.try_acquire().is_ok(), "and so on");
        }
    }
}
