//! A deadline is set where a request comes in, and told where one goes out.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use pm_core::Clock;
use pm_resilience::deadline::{GRPC_TIMEOUT, X_TIMEOUT_MS};
use pm_resilience::{
    Deadline, Error, IncomingDeadlineLayer, OutgoingDeadlineLayer, Pattern, Reason,
};
use pm_testing::{ServiceProbe, contract, drive};
use tower::{Layer, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

/// What a handler behind the layer sees: its extension's and its task's deadline.
fn seen(layer: IncomingDeadlineLayer, request: Request<()>) -> Duration {
    let (clock, _) = Clock::manual();
    let handler = service_fn({
        let clock = clock.clone();
        move |request: Request<()>| {
            let own: Deadline = *request.extensions().get().unwrap();
            let now = clock.now();
            async move {
                tokio::task::yield_now().await;
                assert_eq!(Deadline::current(), Some(own));
                Ok::<_, Infallible>(own.remaining(now))
            }
        }
    });
    drive(layer.with_clock(clock).layer(handler).oneshot(request)).unwrap()
}

fn asking(millis: &str) -> Request<()> {
    Request::get("/")
        .header(X_TIMEOUT_MS, millis)
        .body(())
        .unwrap()
}

#[test]
fn a_caller_is_believed_only_where_the_layer_says_so_and_never_to_get_more() {
    let layer = || IncomingDeadlineLayer::new(SECOND);
    assert_eq!(seen(layer(), asking("5")), SECOND);
    let trusting = || layer().trusting_the_caller();
    assert_eq!(seen(trusting(), asking("5")), Duration::from_millis(5));
    assert_eq!(seen(trusting(), asking("0")), Duration::ZERO);
    for hostile in ["99999999", "-1", "", "1e9", "18446744073709551616"] {
        assert_eq!(seen(trusting(), asking(hostile)), SECOND, "{hostile}");
    }
}

#[test]
fn a_nested_layer_never_gives_more_time() {
    let (clock, _) = Clock::manual();
    let mut request = Request::new(());
    let sooner = Deadline::after(SECOND / 4, &clock);
    request.extensions_mut().insert(sooner);
    assert_eq!(
        seen(IncomingDeadlineLayer::new(SECOND), request),
        SECOND / 4
    );
}

#[test]
fn the_incoming_layer_keeps_the_contract() {
    let layer = IncomingDeadlineLayer::new(SECOND);
    let respond = |_: Request<()>| Response::new(());
    let request = || Request::new(());
    contract::passes_readiness_through(&layer, respond);
    contract::calls_the_readied_instance(&layer, respond, request);
    contract::clones_are_independent(&layer, respond, request);
    contract::cancelling_leaves_nothing_behind(&layer, respond, request);
}

#[test]
fn a_call_that_goes_out_is_told_what_is_left() {
    let (clock, time) = Clock::manual();
    let layer = OutgoingDeadlineLayer::new("orders").with_clock(clock.clone());
    let deadline = Deadline::after(SECOND, &clock);
    time.advance(Duration::from_millis(400));
    let (probe, _) = ServiceProbe::new(|request: Request<()>| request.headers().clone());
    let call = |grpc: bool| {
        let mut request = Request::new(());
        if grpc {
            let grpc = "application/grpc".parse().unwrap();
            request.headers_mut().insert("content-type", grpc);
        }
        let service = layer.layer(probe.clone());
        drive(deadline.scope(async { service.oneshot(request).await })).unwrap()
    };
    assert_eq!(call(false)[X_TIMEOUT_MS], "600");
    assert_eq!(call(true)[GRPC_TIMEOUT], "600000u");
    let free = drive(layer.layer(probe.clone()).oneshot(Request::new(()))).unwrap();
    assert!(free.is_empty());
}

#[test]
fn what_a_client_has_said_already_is_not_made_longer() {
    let (clock, _) = Clock::manual();
    let layer = OutgoingDeadlineLayer::new("orders").with_clock(clock.clone());
    let deadline = Deadline::after(SECOND, &clock);
    let (probe, _) = ServiceProbe::new(|request: Request<()>| request.headers().clone());
    let told = |values: &[&str]| {
        let mut request = Request::new(());
        for value in values {
            let value = value.parse().unwrap();
            request.headers_mut().append(X_TIMEOUT_MS, value);
        }
        let service = layer.layer(probe.clone());
        let headers = drive(deadline.scope(async { service.oneshot(request).await })).unwrap();
        let told: Vec<_> = headers.get_all(X_TIMEOUT_MS).iter().cloned().collect();
        told
    };
    assert_eq!(told(&["250"]), ["250"]);
    assert_eq!(told(&["2000"]), ["1000"]);
    assert_eq!(told(&["soon"]), ["1000"]);
    assert_eq!(told(&["250", "250"]), ["1000"], "twice is not at all");
}

#[test]
fn a_call_whose_deadline_has_passed_is_not_made_and_one_that_is_late_is_dropped() {
    let (clock, time) = Clock::manual();
    let layer = OutgoingDeadlineLayer::new("orders").with_clock(clock.clone());
    let (probe, handle) = ServiceProbe::new(|_: Request<()>| ());
    let deadline = Deadline::after(SECOND, &clock);
    let request = || {
        let mut request = Request::new(());
        request.extensions_mut().insert(deadline);
        request
    };

    handle.hold_answers();
    let mut late = pin!(layer.layer(probe.clone()).oneshot(request()));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(late.as_mut().poll(cx).is_pending());
    time.advance(SECOND);
    let Poll::Ready(Err(Error::TimedOut(timed_out))) = late.as_mut().poll(cx) else {
        panic!("not cut off at the deadline");
    };
    assert_eq!(timed_out.after(), SECOND);

    let refused = drive(layer.layer(probe).oneshot(request())).unwrap_err();
    let Error::Rejected(rejection) = refused else {
        panic!("made although nobody waits");
    };
    let why = (rejection.by(), rejection.reason());
    assert_eq!(why, (Pattern::Deadline, Reason::DeadlinePassed));
    assert_eq!(handle.calls(), 1);
}
