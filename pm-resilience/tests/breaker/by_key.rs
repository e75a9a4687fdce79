//! A breaker for each of many keys.

use pm_resilience::breaker::{BreakerLayer, KeyedBreakers};
use pm_resilience::{Error, Reason};
use pm_testing::{ServiceProbe, drive};
use tower::{Layer, ServiceExt};

use super::*;

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

#[test]
fn a_layer_guards_each_request_by_the_breaker_of_its_key() {
    let (breakers, time) = keyed(10);
    let (probe, handle) = ServiceProbe::new(|(host, _): (u32, &str)| host);
    let layer = BreakerLayer::keyed(breakers.clone(), |request: &(u32, &str)| request.0);
    // Built anew for each call: the state is that of the breakers.
    let send = |host| drive(layer.layer(probe.clone()).oneshot((host, "get")));
    handle.fail_answers();
    for _ in 0..5 {
        assert!(matches!(send(7), Err(Error::Inner(_))));
    }
    handle.release_answers();
    match send(7) {
        Err(Error::Rejected(rejection)) => assert_eq!(rejection.reason(), Reason::Open),
        other => panic!("it was called: {other:?}"),
    }
    assert_eq!(send(8).ok(), Some(8), "another one works");
    time.advance(OPEN_FOR);
    assert_eq!(send(7).ok(), Some(7));
    assert_eq!(breakers.get(&7).state(), State::Closed);
    assert_eq!(handle.calls(), 7);
}

#[test]
fn a_request_that_is_under_way_keeps_the_breaker_of_its_key() {
    let (breakers, _) = keyed(1);
    let (probe, handle) = ServiceProbe::new(|host: u32| host);
    let layer = BreakerLayer::keyed(breakers.clone(), |host: &u32| *host);
    handle.hold_answers();
    let mut call = Box::pin(layer.layer(probe).oneshot(7));
    let mut next = poll_once(call.as_mut());
    assert!(next().is_none());
    let _ = breakers.get(&8);
    assert_eq!(breakers.overflowed(), 1, "7 makes no room");
    handle.release_answers();
    assert!(matches!(next(), Some(Ok(7))));
    let _ = breakers.get(&8);
    assert_eq!(breakers.overflowed(), 1, "nobody holds it any more");
}
