//! The breaker around a service.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::pin::pin;
use std::task::{self, Poll, Waker};
use std::time::Duration;

use pm_core::{Clock, ManualTime};
use pm_resilience::breaker::{
    Breaker, BreakerLayer, BreakerService, BreakerSettings, Changes, KeyedBreakers, Permit,
    ResponseFuture, State,
};
use pm_resilience::classify::Errors;
use pm_resilience::{Error, Outcome, Reason};
use pm_testing::{ProbeError, ProbeHandle, ServiceProbe, drive};
use tower::{Layer, Service, ServiceExt, service_fn};

type Probe = ServiceProbe<u8, u8>;

fn breaker() -> (Breaker, ManualTime) {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::new("test", BreakerSettings::new()).expect("valid settings");
    (breaker.with_clock(clock), time)
}

fn guarded(breaker: &Breaker) -> (BreakerService<Probe>, ProbeHandle) {
    let (probe, handle) = ServiceProbe::new(|number| number);
    (BreakerLayer::new(breaker.clone()).layer(probe), handle)
}

fn fail(breaker: &Breaker) {
    for _ in 0..5 {
        breaker
            .try_acquire()
            .expect("closed")
            .settle(Outcome::Failure);
    }
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut task::Context::from_waker(Waker::noop()))
}

#[test]
fn calls_go_through_until_it_opens() {
    let (breaker, time) = breaker();
    let (service, probe) = guarded(&breaker);
    assert_eq!(drive(service.clone().oneshot(7)).unwrap(), 7);
    probe.fail_answers();
    for _ in 0..5 {
        let error = drive(service.clone().oneshot(7)).unwrap_err();
        assert!(matches!(error, Error::Inner(ProbeError::Call)));
    }
    let rejected = drive(service.clone().oneshot(7)).unwrap_err();
    assert!(matches!(&rejected, Error::Rejected(why) if why.reason() == Reason::Open));
    assert_eq!(rejected.retry_after(), Some(Duration::from_secs(30)));
    assert_eq!(probe.calls(), 6, "a rejected call is not made");
    time.advance(Duration::from_secs(30));
    probe.release_answers();
    assert_eq!(drive(service.oneshot(7)).unwrap(), 7);
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn trap_d_never_more_than_one_probe_in_flight_under_100_callers() {
    let (breaker, time) = breaker();
    let (service, probe) = guarded(&breaker);
    fail(&breaker);
    time.advance(Duration::from_secs(30));
    probe.hold_answers();
    let mut calls: Vec<_> = (0..100)
        .map(|_| Box::pin(service.clone().oneshot(7)))
        .collect();
    let rejected = calls
        .iter_mut()
        .filter_map(|call| match poll(call.as_mut()) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        });
    assert_eq!(rejected.filter(Result::is_err).count(), 99);
    assert_eq!(probe.in_flight(), 1);
    probe.release_answers();
    assert!(matches!(poll(calls[0].as_mut()), Poll::Ready(Ok(7))));
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn trap_f_an_outer_time_out_counts_once_the_call_was_slow() {
    let (breaker, time) = breaker();
    let (service, probe) = guarded(&breaker);
    probe.hold_answers();
    let cut_off = |after: Duration| {
        let mut call = Box::pin(service.clone().oneshot(7));
        assert!(poll(call.as_mut()).is_pending());
        time.advance(after);
    };
    for _ in 0..50 {
        cut_off(Duration::from_secs(1));
    }
    assert_eq!(breaker.state(), State::Closed, "too early to tell");
    for _ in 0..5 {
        cut_off(Duration::from_secs(10));
    }
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(probe.in_flight(), 0);
}

#[test]
fn trap_f_waiting_for_readiness_is_part_of_the_call() {
    let (breaker, time) = breaker();
    let (service, probe) = guarded(&breaker);
    probe.hold_readiness();
    for _ in 0..5 {
        let mut call = Box::pin(service.clone().oneshot(7));
        assert!(poll(call.as_mut()).is_pending());
        time.advance(Duration::from_secs(10));
    }
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn trap_h_a_panic_in_the_inner_call_frees_its_place() {
    let (breaker, time) = breaker();
    fail(&breaker);
    time.advance(Duration::from_secs(30));
    let layer = BreakerLayer::new(breaker.clone());
    for panics_at_once in [true, false] {
        let service = layer.layer(service_fn(move |()| {
            assert!(!panics_at_once, "in the call");
            async { panic!("in the future") }
        }));
        let panicked = std::panic::catch_unwind(|| {
            let _: Result<(), Error<ProbeError>> = drive(service.oneshot(()));
        });
        assert!(panicked.is_err());
        assert_eq!(breaker.state(), State::HalfOpen);
    }
    let (service, _) = guarded(&breaker);
    assert_eq!(drive(service.oneshot(7)).unwrap(), 7, "its place is free");
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn trap_i_a_layer_that_is_called_for_each_request_shares_its_state() {
    let (breaker, _) = breaker();
    let layer = BreakerLayer::new(breaker.clone());
    for _ in 0..5 {
        let (probe, handle) = ServiceProbe::<u8, u8>::new(|number| number);
        handle.fail_answers();
        assert!(drive(layer.layer(probe).oneshot(7)).is_err());
    }
    let (probe, handle) = ServiceProbe::<u8, u8>::new(|number| number);
    let answer = drive(layer.clone().layer(probe).oneshot(7));
    assert!(matches!(answer, Err(Error::Rejected(_))));
    assert_eq!(handle.calls(), 0);
}

#[test]
fn it_is_always_ready_and_an_error_of_readiness_is_a_result() {
    let (breaker, _) = breaker();
    let (mut service, probe) = guarded(&breaker);
    probe.fail_readiness();
    for _ in 0..5 {
        let mut cx = task::Context::from_waker(Waker::noop());
        assert!(matches!(service.poll_ready(&mut cx), Poll::Ready(Ok(()))));
        let error = drive(service.call(7)).unwrap_err();
        assert!(matches!(error, Error::Inner(ProbeError::Readiness)));
    }
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn each_call_waits_for_the_readiness_of_its_own_instance() {
    let (breaker, _) = breaker();
    let (mut service, probe) = guarded(&breaker);
    probe.hold_readiness();
    let mut call = pin!(service.call(7));
    assert!(poll(call.as_mut()).is_pending());
    assert_eq!(probe.calls(), 0);
    probe.grant_readiness();
    assert!(matches!(poll(call.as_mut()), Poll::Ready(Ok(7))));
    assert_eq!(
        (probe.calls(), probe.readied(), probe.reserved()),
        (1, 1, 0)
    );
}

#[test]
fn a_cancelled_call_leaves_nothing_behind() {
    let (breaker, time) = breaker();
    let (mut service, probe) = guarded(&breaker);
    fail(&breaker);
    time.advance(Duration::from_secs(30));
    drop(service.call(7));
    probe.hold_answers();
    {
        let mut call = pin!(service.call(7));
        assert!(poll(call.as_mut()).is_pending());
        assert_eq!(probe.in_flight(), 1);
    }
    assert_eq!((probe.in_flight(), probe.reserved()), (0, 0));
    probe.release_answers();
    assert_eq!(
        drive(service.call(7)).unwrap(),
        7,
        "the place of the probe is free"
    );
}

#[test]
fn a_permit_is_given_back_with_the_answer_and_not_with_its_future() {
    let (breaker, time) = breaker();
    let (mut service, _) = guarded(&breaker);
    fail(&breaker);
    time.advance(Duration::from_secs(30));
    let mut call = pin!(service.call(7));
    assert!(matches!(poll(call.as_mut()), Poll::Ready(Ok(7))));
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_classifier_says_what_a_result_says() {
    let (breaker, _) = breaker();
    let (probe, _) = ServiceProbe::<u8, u8>::new(|number| number);
    let layer =
        BreakerLayer::new(breaker.clone()).with_classifier(|result: Result<&u8, &ProbeError>| {
            match result {
                Ok(number) if *number > 100 => Outcome::Failure,
                _ => Outcome::Ignored,
            }
        });
    for _ in 0..5 {
        assert_eq!(drive(layer.layer(probe.clone()).oneshot(101)).unwrap(), 101);
    }
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_call_of_a_closed_breaker_allocates_nothing() {
    let (breaker, _) = breaker();
    let ready = service_fn(|number: u8| std::future::ready(Ok::<_, ProbeError>(number)));
    let mut service = BreakerLayer::new(breaker).layer(ready);
    let calls = allocation_counter::measure(|| {
        for _ in 0..100 {
            assert!(drive(service.call(7)).is_ok());
        }
    });
    assert_eq!(calls.count_total, 0);
}

const _: () = {
    const fn shareable<T: Clone + Send + Sync + 'static>() {}
    shareable::<Breaker>();
    shareable::<BreakerSettings>();
    shareable::<BreakerLayer>();
    shareable::<BreakerService<Probe>>();
    shareable::<KeyedBreakers<String>>();

    const fn sendable<T: Send + Sync + 'static>() {}
    sendable::<Permit>();
    sendable::<Permit<&'static Breaker>>();
    sendable::<Changes>();

    const fn movable<T: Send + 'static>() {}
    movable::<ResponseFuture<Probe, u8, Errors>>();
};
