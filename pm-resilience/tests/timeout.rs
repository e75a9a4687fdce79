//! Time-outs by class, as a handle and as a layer.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Method, Request, Response};
use pm_core::Clock;
use pm_resilience::{ByMethod, Class, Error, Timeout, Timeouts};
use pm_testing::{ProbeError, ServiceProbe, drive};
use tower::{Layer, Service, ServiceExt};

const MS: Duration = Duration::from_millis(1);

fn timeout() -> (Timeout, pm_core::ManualTime) {
    let (clock, time) = Clock::manual();
    let settings = Timeouts::new()
        .with_read(10 * MS)
        .with_write(20 * MS)
        .with_custom("report", 90 * MS);
    (
        Timeout::new("db", settings).unwrap().with_clock(clock),
        time,
    )
}

#[test]
fn a_class_of_your_own_has_its_time_or_that_of_a_write() {
    let (timeout, _) = timeout();
    assert_eq!(timeout.of(Class::Custom("report")), 90 * MS);
    assert_eq!(timeout.of(Class::Custom("unknown")), 20 * MS);
    assert_eq!(timeout.of(Class::Batch), 10_000 * MS);
}

#[test]
fn times_that_make_no_sense_are_refused_by_name() {
    let day = Duration::from_secs(86_400);
    for (settings, field) in [
        (Timeouts::new().with_read(Duration::ZERO), "read"),
        (Timeouts::new().with_write(day + MS), "write"),
        (Timeouts::new().with_batch(Duration::MAX), "batch"),
        (
            Timeouts::new().with_custom("report", Duration::ZERO),
            "custom.report",
        ),
    ] {
        let (timeout, _) = timeout();
        assert_eq!(timeout.reload(settings.clone()).unwrap_err().field(), field);
        assert_eq!(timeout.of(Class::Read), 10 * MS, "nothing has changed");
        assert_eq!(Timeout::new("db", settings).unwrap_err().field(), field);
    }
}

#[test]
fn an_error_of_the_call_is_the_inner_one() {
    let (timeout, _) = timeout();
    let failed = drive(timeout.run(Class::Read, ready(Err::<(), _>("no"))));
    assert!(matches!(failed, Err(Error::Inner("no"))));
}

#[test]
fn a_request_has_the_time_of_its_method_or_of_its_class() {
    let (timeout, time) = timeout();
    let layer = timeout.layer(ByMethod);
    let (probe, handle) = ServiceProbe::new(|_: Request<()>| Response::new(()));
    handle.hold_answers();
    let late = |method: Method, class: Option<Class>| {
        let mut request = Request::builder().method(method).body(()).unwrap();
        if let Some(class) = class {
            request.extensions_mut().insert(class);
        }
        let mut answer = pin!(layer.layer(probe.clone()).oneshot(request));
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match answer.as_mut().poll(&mut cx) {
                Poll::Ready(Err(Error::TimedOut(timed_out))) => break timed_out.after(),
                Poll::Ready(_) => panic!("not timed out"),
                Poll::Pending => time.advance(MS),
            }
        }
    };
    assert_eq!(late(Method::GET, None), 10 * MS);
    assert_eq!(late(Method::POST, None), 20 * MS);
    assert_eq!(late(Method::POST, Some(Class::Custom("report"))), 90 * MS);
    assert_eq!((handle.in_flight(), handle.cancelled()), (0, 3));
}

#[test]
fn readiness_is_waited_for_within_the_time() {
    let (timeout, time) = timeout();
    let (probe, handle) = ServiceProbe::new(|_: ()| ());
    let mut service = timeout.layer(Class::Read).layer(probe);
    handle.hold_readiness();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut answer = pin!(service.call(()));
    assert!(answer.as_mut().poll(&mut cx).is_pending());
    time.advance(10 * MS);
    let late = answer.as_mut().poll(&mut cx);
    assert!(matches!(late, Poll::Ready(Err(Error::TimedOut(_)))));
    handle.grant_readiness();
    handle.fail_readiness();
    let failed = drive(service.call(()));
    assert!(matches!(failed, Err(Error::Inner(ProbeError::Readiness))));
    assert_eq!((handle.calls(), handle.reserved()), (0, 0));
}
