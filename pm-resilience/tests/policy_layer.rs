//! A policy as the layer of an HTTP client.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pm_core::{Clock, ManualTime};
use pm_resilience::breaker::State;
use pm_resilience::classify::Http;
use pm_resilience::deadline::X_TIMEOUT_MS;
use pm_resilience::retry::{Jitter, ReplayBody};
use pm_resilience::{BreakerSettings, Deadline, Error, Policy, RetrySettings, Timeouts};
use pm_testing::{ProbeError, ServiceProbe, drive};
use tower::{Layer, Service, ServiceExt};

const MS: Duration = Duration::from_millis(1);

type Outgoing = Request<ReplayBody<Full<Bytes>>>;

fn policy() -> (Policy<Http>, Clock, ManualTime) {
    let (clock, time) = Clock::manual();
    let retry = RetrySettings::exponential(10 * MS, 10 * MS).with_jitter(Jitter::None);
    let policy = Policy::named("orders")
        .timeouts(Timeouts::new().with_read(100 * MS).with_write(200 * MS))
        .breaker(BreakerSettings::new())
        .retry(retry)
        .classify(Http::new())
        .clock(clock.clone())
        .build()
        .unwrap();
    (policy, clock, time)
}

fn answer(status: StatusCode) -> impl Fn(Outgoing) -> Response<HeaderMap> + Send + Sync {
    move |request| {
        let mut response = Response::new(request.headers().clone());
        *response.status_mut() = status;
        response
    }
}

fn request(method: Method) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.method_mut() = method;
    request
}

/// Sends a request and lets time pass until it is done.
fn send<S>(
    service: S,
    request: Request<Full<Bytes>>,
    time: &ManualTime,
) -> Result<S::Response, S::Error>
where
    S: Service<Request<Full<Bytes>>>,
{
    let mut answer = pin!(service.oneshot(request));
    loop {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(result) = answer.as_mut().poll(&mut cx) {
            return result;
        }
        time.advance(MS);
    }
}

#[test]
fn a_503_is_retried_by_method_and_counts_for_the_breaker() {
    let (policy, _, time) = policy();
    let (probe, handle) = ServiceProbe::new(answer(StatusCode::SERVICE_UNAVAILABLE));
    let send = |method| send(policy.layer().layer(probe.clone()), request(method), &time);
    assert_eq!(
        send(Method::POST).unwrap().status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(handle.calls(), 1);
    assert!(send(Method::GET).is_ok());
    assert_eq!(handle.calls(), 4);
    assert!(send(Method::POST).is_ok());
    assert_eq!(policy.breaker().state(), State::Open, "five in a row");
    assert!(matches!(send(Method::GET), Err(Error::Rejected(_))));
    assert_eq!(handle.calls(), 5);
}

#[test]
fn a_retry_that_is_refused_ends_with_the_answer_before_it() {
    let (policy, _, time) = policy();
    let once = BreakerSettings::new().with_consecutive_failures(1);
    policy.breaker().reload(once).unwrap();
    let (probe, handle) = ServiceProbe::new(answer(StatusCode::SERVICE_UNAVAILABLE));
    let service = policy.layer().layer(probe);
    let last = send(service.clone(), request(Method::GET), &time).unwrap();
    assert_eq!(last.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(policy.breaker().state(), State::Open);
    assert_eq!(handle.calls(), 1);
    let refused = send(service, request(Method::GET), &time);
    assert!(matches!(refused, Err(Error::Rejected(_))));
}

#[test]
fn a_layer_that_is_applied_for_each_request_shares_its_state() {
    let (policy, _, time) = policy();
    for _ in 0..5 {
        let (probe, _) = ServiceProbe::new(answer(StatusCode::INTERNAL_SERVER_ERROR));
        assert!(send(policy.layer().layer(probe), request(Method::POST), &time).is_ok());
    }
    let (probe, handle) = ServiceProbe::new(answer(StatusCode::OK));
    let rejected = send(policy.layer().layer(probe), request(Method::GET), &time);
    assert!(matches!(rejected, Err(Error::Rejected(_))));
    assert_eq!(handle.calls(), 0);
}

#[test]
fn an_attempt_tells_how_long_it_has_if_there_is_a_deadline() {
    let (policy, clock, time) = policy();
    let (probe, _) = ServiceProbe::new(answer(StatusCode::OK));
    let headers = |deadline: Option<Deadline>| {
        let mut request = request(Method::GET);
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(deadline);
        }
        send(policy.layer().layer(probe.clone()), request, &time)
            .unwrap()
            .into_body()
    };
    assert!(headers(None).is_empty());
    let far = Deadline::after(5_000 * MS, &clock);
    assert_eq!(
        headers(Some(far))[X_TIMEOUT_MS],
        "100",
        "the attempt's own time"
    );
    let near = Deadline::after(40 * MS, &clock);
    assert_eq!(headers(Some(near))[X_TIMEOUT_MS], "40");
}

#[test]
fn a_peer_that_was_told_to_be_quick_and_gave_up_does_not_open_the_breaker() {
    let (policy, clock, time) = policy();
    let (probe, handle) = ServiceProbe::new(answer(StatusCode::GATEWAY_TIMEOUT));
    let send = |left: u32| {
        let mut request = request(Method::POST);
        (request.extensions_mut()).insert(Deadline::after(left * MS, &clock));
        send(policy.layer().layer(probe.clone()), request, &time).unwrap();
    };
    (0..5).for_each(|_| send(50));
    assert_eq!(policy.breaker().state(), State::Closed);
    assert_eq!(policy.breaker().stats().counts.in_a_row, 0);
    assert_eq!(handle.calls(), 5);
    // With its full time a peer that gives up has failed.
    (0..5).for_each(|_| send(5_000));
    assert_eq!(policy.breaker().state(), State::Open);
}

#[test]
fn a_read_whose_peer_was_told_to_be_quick_is_not_retried() {
    let (policy, clock, time) = policy();
    let (probe, handle) = ServiceProbe::new(answer(StatusCode::GATEWAY_TIMEOUT));
    let mut request = request(Method::GET);
    (request.extensions_mut()).insert(Deadline::after(50 * MS, &clock));
    assert!(send(policy.layer().layer(probe), request, &time).is_ok());
    assert_eq!(handle.calls(), 1);
}

#[test]
fn readiness_is_part_of_the_attempt_and_of_its_time() {
    let (policy, _, time) = policy();
    let (probe, handle) = ServiceProbe::new(answer(StatusCode::OK));
    handle.hold_readiness();
    let late = send(
        policy.layer().layer(probe.clone()),
        request(Method::POST),
        &time,
    );
    assert!(matches!(late, Err(Error::TimedOut(_))));
    handle.grant_readiness();
    handle.fail_readiness();
    let failed = send(policy.layer().layer(probe), request(Method::POST), &time);
    assert!(matches!(failed, Err(Error::Inner(ProbeError::Readiness))));
    assert_eq!((handle.calls(), handle.reserved()), (0, 0));
}

#[test]
fn a_thousand_idle_services_hold_nothing() {
    let (policy, ..) = policy();
    let (probe, handle) = ServiceProbe::new(answer(StatusCode::OK));
    let mut idle: Vec<_> = (0..1_000)
        .map(|_| policy.layer().layer(probe.clone()))
        .collect();
    for service in &mut idle {
        let ready = Service::<Request<Full<Bytes>>>::poll_ready(
            service,
            &mut Context::from_waker(Waker::noop()),
        );
        assert!(ready.is_ready());
    }
    assert_eq!((handle.readied(), handle.reserved()), (0, 0));
    assert!(drive(policy.layer().layer(probe).oneshot(request(Method::GET))).is_ok());
}

#[test]
fn dropping_the_answer_drops_the_attempt() {
    let (policy, _, time) = policy();
    let (probe, handle) = ServiceProbe::new(answer(StatusCode::OK));
    handle.hold_answers();
    {
        let service = policy.layer().layer(probe);
        let mut answer = pin!(service.oneshot(request(Method::GET)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(answer.as_mut().poll(&mut cx).is_pending());
        assert_eq!(handle.in_flight(), 1);
    }
    assert_eq!((handle.in_flight(), handle.cancelled()), (0, 1));
    assert_eq!(time.next_deadline(), None);
}

/// Says that four bytes are to come, and sends nothing.
#[derive(Debug)]
struct Stalled;

impl Body for Stalled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(4)
    }
}

fn stalled() -> Request<Stalled> {
    let mut request = Request::new(Stalled);
    *request.method_mut() = Method::PUT;
    request
}

#[test]
fn a_body_that_stalls_while_it_is_kept_has_the_time_of_an_attempt() {
    let (policy, clock, time) = policy();
    let (probe, handle) = ServiceProbe::new(|_: Request<ReplayBody<Stalled>>| Response::new(()));
    let near = Deadline::after(40 * MS, &clock);
    for (deadline, has) in [(Some(near), 40), (None, 200)] {
        let mut request = stalled();
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(deadline);
        }
        let mut answer = pin!(policy.layer().layer(probe.clone()).oneshot(request));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(answer.as_mut().poll(&mut cx).is_pending());
        time.advance(has * MS - Duration::from_nanos(1));
        assert!(answer.as_mut().poll(&mut cx).is_pending());
        time.advance(Duration::from_nanos(1));
        let Poll::Ready(Err(Error::TimedOut(timed_out))) = answer.as_mut().poll(&mut cx) else {
            panic!("not cut off");
        };
        assert_eq!(timed_out.after(), has * MS);
    }
    assert_eq!(handle.calls(), 0);
    assert_eq!(policy.breaker().stats().counts.in_a_row, 0);
}

#[test]
fn without_a_retry_a_body_is_passed_on_as_it_comes() {
    let policy = Policy::named("orders")
        .classify(Http::new())
        .clock(Clock::manual().0)
        .build()
        .unwrap();
    let (probe, handle) = ServiceProbe::new(|request: Request<ReplayBody<Stalled>>| {
        Response::new(format!("{:?}", request.body()))
    });
    let answer = drive(policy.layer().layer(probe).oneshot(stalled())).unwrap();
    assert_eq!(answer.into_body(), "ReplayBody(passing)");
    assert_eq!(handle.calls(), 1);
}

const _: () = {
    const fn shareable<T: Clone + Send + Sync + 'static>() {}
    shareable::<Policy>();
    shareable::<pm_resilience::Budget>();
    shareable::<pm_resilience::Retry>();
    shareable::<pm_resilience::Timeout>();
    shareable::<pm_resilience::Hedge>();
    shareable::<pm_resilience::Fallback>();
    shareable::<pm_resilience::SlowLog>();
    shareable::<pm_resilience::PolicyLayer<Http>>();

    type Probe = ServiceProbe<Outgoing, Response<()>>;
    const fn sendable<T: Send + 'static>() {}
    sendable::<pm_resilience::policy::ResponseFuture<Probe, Full<Bytes>, Http>>();
    sendable::<pm_resilience::retry::ResponseFuture<Probe, Full<Bytes>, Http>>();
};
