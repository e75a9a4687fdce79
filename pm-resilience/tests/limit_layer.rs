//! The limit in front of outgoing calls.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use pm_core::{Clock, ManualTime};
use pm_resilience::limit::Rule;
use pm_resilience::{
    Error, Limit, LimitLayer, LimitSettings, Outcome, Pattern, Priority, Reason, Shed, ShedLayer,
    ShedSettings,
};
use pm_testing::{ProbeError, ServiceProbe, drive};
use tower::{Layer, Service, ServiceExt};

const MS: Duration = Duration::from_millis(1);

fn limit(initial: u32) -> (Limit, ManualTime) {
    let (clock, time) = Clock::manual();
    let settings = LimitSettings::new()
        .with_initial(initial)
        .with_rule(Rule::aimd(50 * MS));
    let limit = Limit::new("search", settings).unwrap().with_clock(clock);
    (limit, time)
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn who_gets_no_permit_is_rejected_and_the_permit_is_freed_with_the_response() {
    let (limit, _time) = limit(1);
    let layer = LimitLayer::new(limit.clone());
    let (probe, handle) = ServiceProbe::new(|n: u8| n + 1);
    // Two services of one layer: the permits are the same.
    let (mut one, two) = (layer.layer(probe.clone()), layer.layer(probe));
    handle.hold_answers();
    let mut call = Box::pin(one.call(1));
    assert!(poll(call.as_mut()).is_pending());
    match drive(two.clone().oneshot(2)) {
        Err(Error::Rejected(rejection)) => assert_eq!(
            (rejection.name(), rejection.by(), rejection.reason()),
            ("search", Pattern::Limit, Reason::Full)
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(handle.calls(), 1, "a rejected call is not made");
    handle.release_answers();
    assert!(matches!(poll(call.as_mut()), Poll::Ready(Ok(2))));
    // The future is still there, the permit is not.
    assert_eq!(limit.in_flight(), 0);
    assert!(drive(two.oneshot(2)).is_ok());
}

#[test]
fn the_readiness_of_the_inner_service_is_waited_for_within_the_call() {
    let (limit, _time) = limit(1);
    let (probe, handle) = ServiceProbe::new(|n: u8| n + 1);
    let mut service = LimitLayer::new(limit.clone()).layer(probe);
    handle.hold_readiness();
    let mut call = Box::pin(service.call(1));
    assert!(poll(call.as_mut()).is_pending());
    assert_eq!((limit.in_flight(), handle.calls()), (1, 0));
    handle.grant_readiness();
    assert!(matches!(poll(call.as_mut()), Poll::Ready(Ok(2))));
    handle.fail_readiness();
    match drive(service.call(1)) {
        Err(Error::Inner(error)) => assert_eq!(error, ProbeError::Readiness),
        other => panic!("{other:?}"),
    }
    assert_eq!(limit.in_flight(), 0);
}

/// As many as there may be, each of which takes so long; the limit then.
fn behind(takes: Duration, layer: impl FnOnce(Limit) -> LimitLayer<Limit, Say>, answer: u8) -> u64 {
    let (limit, time) = limit(20);
    let (probe, handle) = ServiceProbe::new(move |(): ()| answer);
    let service = layer(limit.clone()).layer(probe);
    handle.hold_answers();
    let mut calls: Vec<_> = (0..20)
        .map(|_| Box::pin(service.clone().oneshot(())))
        .collect();
    for call in &mut calls {
        assert!(poll(call.as_mut()).is_pending());
    }
    time.advance(takes);
    handle.release_answers();
    for call in &mut calls {
        assert!(poll(call.as_mut()).is_ready());
    }
    limit.limit()
}

type Say = fn(Result<&u8, &ProbeError>) -> Outcome;

#[test]
fn the_limit_learns_from_what_the_classifier_says() {
    let say = |result: Result<&u8, &ProbeError>| match result {
        Ok(200) => Outcome::Success,
        Ok(4) => Outcome::Ignored,
        _ => Outcome::Failure,
    };
    let layer = |limit| LimitLayer::new(limit).with_classifier(say as Say);
    assert_eq!(behind(100 * MS, layer, 200), 18, "it was slow");
    assert_eq!(behind(100 * MS, layer, 5), 18, "it was lost");
    assert_eq!(behind(100 * MS, layer, 4), 20, "it says nothing");
}

#[test]
fn a_call_that_is_cancelled_or_panics_frees_its_permit() {
    let (limit, _time) = limit(1);
    let layer = LimitLayer::new(limit.clone());
    let (probe, handle) = ServiceProbe::new(|n: u8| n + 1);
    let mut service = layer.layer(probe);
    handle.hold_answers();
    let mut call = Box::pin(service.call(1));
    assert!(poll(call.as_mut()).is_pending());
    drop(call);
    assert_eq!((limit.in_flight(), handle.in_flight()), (0, 0));
    let (probe, _) = ServiceProbe::new(|_: u8| -> u8 { panic!("a call of a test") });
    let mut service = layer.layer(probe);
    let panicked = catch_unwind(AssertUnwindSafe(|| drive(service.call(1)).is_ok()));
    assert!(panicked.is_err());
    assert_eq!(limit.in_flight(), 0);
}

#[test]
fn what_matters_less_is_rejected_first() {
    let (limit, _time) = limit(10);
    let shed = Shed::new(limit.clone(), ShedSettings::new()).unwrap();
    let (probe, handle) = ServiceProbe::new(|_: Request<()>| Response::new(()));
    let service = ShedLayer::new(shed).layer(probe);
    handle.hold_answers();
    let mut under_way = Vec::new();
    for (priority, up_to) in [
        (Some(Priority::Low), 6),
        (None, 8),
        (Some(Priority::High), 9),
        (Some(Priority::Critical), 10),
    ] {
        loop {
            let mut request = Request::new(());
            if let Some(priority) = priority {
                request.extensions_mut().insert(priority);
            }
            let mut call = Box::pin(service.clone().oneshot(request));
            match poll(call.as_mut()) {
                Poll::Pending => under_way.push(call),
                Poll::Ready(Err(Error::Rejected(rejection))) => {
                    assert_eq!(rejection.reason(), Reason::Overloaded);
                    break;
                }
                Poll::Ready(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(under_way.len(), up_to, "{priority:?}");
    }
}

#[test]
fn a_call_that_is_ready_at_once_allocates_nothing() {
    let (limit, _time) = limit(10);
    let ready = tower::service_fn(|n: u8| std::future::ready(Ok::<_, ProbeError>(n)));
    let mut service = LimitLayer::new(limit).layer(ready);
    let calls = allocation_counter::measure(|| {
        for _ in 0..100 {
            assert!(drive(service.call(7)).is_ok());
        }
    });
    assert_eq!(calls.count_total, 0);
}
