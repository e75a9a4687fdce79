//! A call that lasts until the body of its response has ended.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use pm_core::{Clock, ManualTime};
use pm_resilience::breaker::{Breaker, BreakerLayer, BreakerSettings, State};
use pm_resilience::classify::{Grpc, Http};
use pm_resilience::retry::ReplayBody;
use pm_resilience::{Deadline, Error, Policy};
use pm_testing::{ServiceProbe, drive};
use tower::{Layer, ServiceExt};

/// Frames, one by one.
#[derive(Debug)]
struct Frames(VecDeque<Result<Bytes, &'static str>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(self.0.pop_front().map(|frame| frame.map(Frame::data)))
    }
}

fn response(status: u16, breaks: bool) -> Response<Frames> {
    let data = Ok(Bytes::from_static(b"part"));
    let end = if breaks {
        Err("connection lost")
    } else {
        Ok(Bytes::new())
    };
    let mut response = Response::new(Frames([data, end].into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Opens with the second failure in a row.
fn breaker() -> (Breaker, ManualTime) {
    let (clock, time) = Clock::manual();
    let settings = BreakerSettings::new().with_consecutive_failures(2);
    let breaker = Breaker::new("orders", settings).unwrap();
    (breaker.with_clock(clock), time)
}

fn layer(breaker: &Breaker) -> BreakerLayer<Http, pm_resilience::breaker::BodyEnd> {
    let layer = BreakerLayer::new(breaker.clone());
    layer.with_classifier(Http::new()).until_body_end()
}

#[test]
fn a_body_that_fails_behind_a_good_head_is_a_failure() {
    let (breaker, _) = breaker();
    let (probe, _) = ServiceProbe::new(|breaks: bool| response(200, breaks));
    let service = layer(&breaker).layer(probe);
    for _ in 0..2 {
        assert_eq!(breaker.state(), State::Closed);
        let response = drive(service.clone().oneshot(true)).unwrap();
        assert_eq!(
            drive(response.into_body().collect()).unwrap_err(),
            "connection lost"
        );
    }
    assert_eq!(breaker.state(), State::Open);
    assert!(matches!(
        drive(service.oneshot(false)),
        Err(Error::Rejected(_))
    ));
}

#[test]
fn a_body_that_arrives_is_a_success_and_only_then() {
    let (breaker, _) = breaker();
    let (probe, _) = ServiceProbe::new(|_: ()| response(200, false));
    let service = layer(&breaker).layer(probe);
    breaker
        .try_acquire()
        .unwrap()
        .settle(pm_resilience::Outcome::Failure);
    let response = drive(service.oneshot(())).unwrap();
    assert_eq!(
        breaker.stats().counts.in_a_row,
        1,
        "the head is not the end"
    );
    assert!(drive(response.into_body().collect()).is_ok());
    assert_eq!(breaker.stats().counts.in_a_row, 0);
}

#[test]
fn a_head_that_failed_is_the_end() {
    let (breaker, _) = breaker();
    let (probe, _) = ServiceProbe::new(|_: ()| response(503, false));
    let service = layer(&breaker).layer(probe);
    for _ in 0..2 {
        assert_eq!(drive(service.clone().oneshot(())).unwrap().status(), 503);
    }
    assert_eq!(breaker.state(), State::Open);
}

#[test]
fn a_body_that_nobody_reads_to_its_end_says_nothing_and_gives_its_probe_back() {
    let (breaker, time) = breaker();
    let (probe, _) = ServiceProbe::new(|_: ()| response(200, false));
    let service = layer(&breaker).layer(probe);
    for _ in 0..3 {
        let response = drive(service.clone().oneshot(())).unwrap();
        time.advance(Duration::from_secs(60));
        drop(response);
    }
    assert_eq!(breaker.state(), State::Closed);
    for _ in 0..2 {
        breaker
            .try_acquire()
            .unwrap()
            .settle(pm_resilience::Outcome::Failure);
    }
    time.advance(Duration::from_secs(30));
    let probing = drive(service.clone().oneshot(())).unwrap();
    assert!(matches!(
        drive(service.clone().oneshot(())),
        Err(Error::Rejected(_))
    ));
    drop(probing);
    let again = drive(service.oneshot(())).unwrap();
    assert!(drive(again.into_body().collect()).is_ok());
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn a_peer_that_was_told_to_be_quick_and_gave_up_says_nothing() {
    let (clock, _) = Clock::manual();
    let policy = Policy::named("orders")
        .breaker(BreakerSettings::new().with_consecutive_failures(2))
        .classify(Http::new())
        .clock(clock.clone())
        .build()
        .unwrap();
    let (probe, _) = ServiceProbe::new(|_: Request<ReplayBody<Full<Bytes>>>| response(504, true));
    let service = policy.layer().until_body_end().layer(probe);
    for _ in 0..3 {
        let mut request = Request::new(Full::default());
        let deadline = Deadline::after(Duration::from_millis(50), &clock);
        request.extensions_mut().insert(deadline);
        let response = drive(service.clone().oneshot(request)).unwrap();
        assert!(drive(response.into_body().collect()).is_err());
    }
    assert_eq!(policy.breaker().state(), State::Closed);
}

/// The stream of a gRPC call: its status is in the trailers.
struct Stream(VecDeque<Frame<Bytes>>);

impl Body for Stream {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

fn stream(status: &'static str) -> Response<Stream> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    let data = Frame::data(Bytes::from_static(b"part"));
    Response::new(Stream([data, Frame::trailers(trailers)].into()))
}

/// Where a breaker stands behind three streams that end with this status, under a deadline or not.
fn behind_three_streams(status: &'static str, deadline: Option<Duration>) -> State {
    let (clock, _) = Clock::manual();
    let policy = Policy::named("orders")
        .breaker(BreakerSettings::new().with_consecutive_failures(2))
        .classify(Grpc)
        .clock(clock.clone())
        .build()
        .unwrap();
    let (probe, _) = ServiceProbe::new(move |_: Request<ReplayBody<Full<Bytes>>>| stream(status));
    let service = policy.layer().until_body_end().layer(probe);
    for _ in 0..3 {
        let mut request = Request::new(Full::default());
        if let Some(after) = deadline {
            let deadline = Deadline::after(after, &clock);
            request.extensions_mut().insert(deadline);
        }
        if let Ok(response) = drive(service.clone().oneshot(request)) {
            assert!(drive(response.into_body().collect()).is_ok());
        }
    }
    policy.breaker().state()
}

#[test]
fn a_stream_that_was_told_to_be_quick_and_says_in_its_trailers_that_it_gave_up_says_nothing() {
    const DEADLINE_EXCEEDED: &str = "4";
    const INTERNAL: &str = "13";
    let (short, long) = (Duration::from_millis(50), Duration::from_secs(60));
    let state = |status, deadline| behind_three_streams(status, deadline);
    assert_eq!(state(DEADLINE_EXCEEDED, Some(short)), State::Closed);
    // It had its full time: that it gave up is its own doing.
    assert_eq!(state(DEADLINE_EXCEEDED, Some(long)), State::Open);
    assert_eq!(state(DEADLINE_EXCEEDED, None), State::Open);
    // Whatever else it says it says, however little time it had.
    assert_eq!(state(INTERNAL, Some(short)), State::Open);
}

#[test]
fn in_a_policy_too() {
    let policy = Policy::named("orders")
        .breaker(BreakerSettings::new().with_consecutive_failures(2))
        .classify(Http::new())
        .clock(Clock::manual().0)
        .build()
        .unwrap();
    let (probe, _) = ServiceProbe::new(|_: Request<ReplayBody<Full<Bytes>>>| response(200, true));
    let service = policy.layer().until_body_end().layer(probe);
    for _ in 0..2 {
        assert_eq!(policy.breaker().state(), State::Closed);
        let request = Request::new(Full::default());
        let response = drive(service.clone().oneshot(request)).unwrap();
        assert!(drive(response.into_body().collect()).is_err());
    }
    assert_eq!(policy.breaker().state(), State::Open);
}
