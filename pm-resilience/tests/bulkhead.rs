//! A fixed number at the same time.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::future::Future;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pm_core::{Clock, ManualTime};
use pm_resilience::bulkhead::{Bulkhead, BulkheadLayer, BulkheadSettings, Permit};
use pm_resilience::{Error, Reason, Rejection};
use pm_testing::{ProbeError, ServiceProbe, drive};
use proptest::prelude::*;
use tower::{Layer, Service, ServiceExt};

fn settings(max: u32, queue: u32) -> BulkheadSettings {
    BulkheadSettings::new()
        .with_max(NonZeroU32::new(max).unwrap())
        .with_queue(queue)
        .with_wait(Duration::from_millis(100))
}

fn bulkhead(max: u32, queue: u32) -> (Bulkhead, ManualTime) {
    let (clock, time) = Clock::manual();
    (
        Bulkhead::new("db", settings(max, queue)).with_clock(clock),
        time,
    )
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn reason(result: Poll<Result<Permit, Rejection>>) -> Option<Reason> {
    match result {
        Poll::Ready(Err(rejection)) => Some(rejection.reason()),
        _ => None,
    }
}

#[test]
fn who_waits_gets_the_permit_in_order_of_arrival() {
    let (db, _time) = bulkhead(1, 2);
    let permit = db.try_acquire().unwrap();
    let (mut first, mut second) = (Box::pin(db.acquire()), Box::pin(db.acquire()));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    assert_eq!(db.waiting(), 2);
    assert_eq!(
        reason(poll(Box::pin(db.acquire()).as_mut())),
        Some(Reason::Full)
    );
    drop(permit);
    assert!(db.try_acquire().is_err(), "it belongs to who waits");
    assert!(poll(second.as_mut()).is_pending());
    let Poll::Ready(Ok(permit)) = poll(first.as_mut()) else {
        panic!("the first has no permit");
    };
    drop(permit);
    assert!(matches!(poll(second.as_mut()), Poll::Ready(Ok(_))));
    assert_eq!((db.waiting(), db.in_flight()), (0, 0));
}

#[test]
fn who_waits_too_long_is_rejected_and_makes_room() {
    let (db, time) = bulkhead(1, 1);
    let permit = db.try_acquire().unwrap();
    let mut waits = Box::pin(db.acquire());
    assert!(poll(waits.as_mut()).is_pending());
    time.advance(Duration::from_millis(100));
    assert_eq!(reason(poll(waits.as_mut())), Some(Reason::WaitedTooLong));
    assert_eq!(db.waiting(), 0);
    drop(permit);
    assert!(db.try_acquire().is_ok());
}

#[test]
fn who_gives_up_waiting_passes_its_permit_on() {
    let (db, _time) = bulkhead(1, 2);
    let permit = db.try_acquire().unwrap();
    let (mut first, mut second) = (Box::pin(db.acquire()), Box::pin(db.acquire()));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    drop(permit);
    // It has been given the permit, and never looked.
    drop(first);
    assert!(matches!(poll(second.as_mut()), Poll::Ready(Ok(_))));
    assert_eq!((db.waiting(), db.in_flight()), (0, 0));
}

#[test]
fn fewer_permits_take_effect_as_they_come_back() {
    let (db, _time) = bulkhead(4, 0);
    let mut held: Vec<_> = (0..3).map(|_| db.try_acquire().unwrap()).collect();
    db.reload(settings(1, 0));
    assert_eq!(db.in_flight(), 3);
    assert!(db.try_acquire().is_err());
    held.truncate(1);
    assert_eq!(db.in_flight(), 1);
    assert!(db.try_acquire().is_err());
    held.clear();
    held.push(db.try_acquire().unwrap());
    assert!(db.try_acquire().is_err());
    db.reload(settings(2, 0));
    assert!(db.try_acquire().is_ok());
}

proptest! {
    /// However it is used and reloaded, there are never more than there may be, and none is lost.
    #[test]
    fn as_a_count(steps in prop::collection::vec((0u8..4, 1u32..6), 0..100)) {
        let (db, _time) = bulkhead(3, 0);
        let mut max = 3;
        let mut held = Vec::new();
        for (step, number) in steps {
            match step {
                0 | 1 => {
                    let acquired = db.try_acquire();
                    prop_assert_eq!(acquired.is_ok(), (held.len() as u32) < max);
                    held.extend(acquired);
                }
                2 => drop(held.pop()),
                _ => {
                    db.reload(settings(number, 0));
                    max = number;
                }
            }
            prop_assert_eq!(db.in_flight(), held.len());
        }
    }
}

#[test]
fn a_layer_rejects_by_an_error_and_frees_the_permit_with_the_response() {
    let (db, _time) = bulkhead(1, 0);
    let layer = BulkheadLayer::new(db.clone());
    let (probe, handle) = ServiceProbe::new(|n: u8| n + 1);
    // Two services of one layer: the permits are the same.
    let (mut one, two) = (layer.layer(probe.clone()), layer.layer(probe));
    handle.hold_answers();
    let mut call = Box::pin(one.call(1));
    assert!(poll(call.as_mut()).is_pending());
    match drive(two.clone().oneshot(2)) {
        Err(Error::Rejected(rejection)) => assert_eq!(rejection.reason(), Reason::Full),
        other => panic!("{other:?}"),
    }
    handle.release_answers();
    assert!(matches!(poll(call.as_mut()), Poll::Ready(Ok(2))));
    // The future is still there, the permit is not.
    assert_eq!(db.in_flight(), 0);
    assert!(drive(two.oneshot(2)).is_ok());
}

#[test]
fn a_layer_waits_for_a_permit_and_then_for_the_inner_service() {
    let (db, _time) = bulkhead(1, 1);
    let (probe, handle) = ServiceProbe::new(|n: u8| n + 1);
    let mut service = BulkheadLayer::new(db.clone()).layer(probe);
    let permit = db.try_acquire().unwrap();
    handle.hold_readiness();
    let mut call = Box::pin(service.call(1));
    assert!(poll(call.as_mut()).is_pending());
    drop(permit);
    assert!(poll(call.as_mut()).is_pending());
    assert_eq!((db.in_flight(), handle.calls()), (1, 0));
    handle.grant_readiness();
    assert!(matches!(poll(call.as_mut()), Poll::Ready(Ok(2))));

    handle.fail_readiness();
    match drive(service.call(1)) {
        Err(Error::Inner(error)) => assert_eq!(error, ProbeError::Readiness),
        other => panic!("{other:?}"),
    }
    assert_eq!(db.in_flight(), 0);
}

#[test]
fn a_call_that_is_cancelled_frees_its_permit_and_its_place() {
    let (db, _time) = bulkhead(1, 1);
    let (probe, handle) = ServiceProbe::new(|n: u8| n + 1);
    let mut service = BulkheadLayer::new(db.clone()).layer(probe);
    handle.hold_answers();
    let mut call = Box::pin(service.call(1));
    let mut waits = Box::pin(service.call(2));
    assert!(poll(call.as_mut()).is_pending() && poll(waits.as_mut()).is_pending());
    assert_eq!((db.in_flight(), db.waiting()), (1, 1));
    drop(waits);
    drop(call);
    assert_eq!(
        (db.in_flight(), db.waiting(), handle.in_flight()),
        (0, 0, 0)
    );
}

#[test]
fn trap_h_a_panic_in_the_inner_call_frees_its_slot() {
    let (db, _time) = bulkhead(1, 0);
    let (probe, _) = ServiceProbe::new(|_: u8| -> u8 { panic!("a call of a test") });
    let mut service = BulkheadLayer::new(db.clone()).layer(probe);
    let panicked = catch_unwind(AssertUnwindSafe(|| drive(service.call(1)).is_ok()));
    assert!(panicked.is_err());
    assert_eq!(db.in_flight(), 0);
}
