//! What the retry layer makes of HTTP requests.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use pm_core::Clock;
use pm_resilience::classify::Http;
use pm_resilience::retry::{BUFFERED_AT_MOST, BUFFERED_WITHIN, Idempotent, ReplayBody};
use pm_resilience::{Budget, Deadline, Retry, RetrySettings};
use pm_testing::ServiceProbe;
use tower::{Layer, Service, service_fn};

const MS: Duration = Duration::from_millis(1);

/// Sends one request through the layer to a server that is always busy; returns the bodies that
/// arrived there, as far as they could be read.
fn send<B>(request: Request<B>) -> Vec<Result<Bytes, &'static str>>
where
    B: Body<Data = Bytes, Error = &'static str> + Unpin + Send + 'static,
{
    let (clock, time) = Clock::manual();
    let budget = Budget::percent(1_000).with_clock(clock.clone());
    let settings = RetrySettings::exponential(MS, MS).with_attempts(3);
    let retry = Retry::new("http", settings, budget).unwrap();
    let retry = retry.with_clock(clock);
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let server = service_fn(|request: Request<ReplayBody<B>>| {
        let arrived = Arc::clone(&arrived);
        async move {
            let whole = request.into_body().collect().await;
            let whole = whole.map(http_body_util::Collected::to_bytes);
            arrived.lock().unwrap().push(whole);
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            Ok::<_, ()>(response)
        }
    });
    let mut service = retry.layer(Http::new()).layer(server);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Service::<Request<B>>::poll_ready(&mut service, &mut cx).is_ready());
    let mut answer = pin!(service.call(request));
    let response = loop {
        match answer.as_mut().poll(&mut cx) {
            Poll::Ready(response) => break response.unwrap(),
            Poll::Pending => time.advance(MS),
        }
    };
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    std::mem::take(&mut *arrived.lock().unwrap())
}

/// Frames with a size that they claim to have.
struct Frames {
    frames: VecDeque<Result<Frame<Bytes>, &'static str>>,
    claims: Option<u64>,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(self.frames.pop_front())
    }

    fn size_hint(&self) -> SizeHint {
        self.claims.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

fn frames<const N: usize>(
    claims: Option<u64>,
    frames: [Result<&'static str, &'static str>; N],
) -> Frames {
    let frame = |data: &'static str| Frame::data(Bytes::from_static(data.as_bytes()));
    Frames {
        frames: frames.into_iter().map(|data| data.map(frame)).collect(),
        claims,
    }
}

fn request<B>(method: Method, body: B) -> Request<B> {
    Request::builder().method(method).body(body).unwrap()
}

fn of(size: usize) -> Frames {
    Frames {
        frames: [Ok(Frame::data(Bytes::from(vec![b'x'; size])))].into(),
        claims: Some(size as u64),
    }
}

#[test]
fn only_methods_that_may_be_repeated_or_requests_that_are_marked() {
    for (method, attempts) in [
        (Method::GET, 3),
        (Method::HEAD, 3),
        (Method::PUT, 3),
        (Method::DELETE, 3),
        (Method::OPTIONS, 3),
        (Method::POST, 1),
        (Method::PATCH, 1),
        (Method::CONNECT, 1),
        (Method::from_bytes(b"CHARGE").unwrap(), 1),
    ] {
        assert_eq!(
            send(request(method.clone(), of(1))).len(),
            attempts,
            "{method}"
        );
    }
    let mut marked = request(Method::POST, of(1));
    marked.extensions_mut().insert(Idempotent);
    assert_eq!(send(marked).len(), 3);
}

#[test]
fn a_body_is_the_same_each_time() {
    let whole = send(request(
        Method::PUT,
        frames(Some(6), [Ok("abc"), Ok("def")]),
    ));
    assert_eq!(whole, [const { Ok(Bytes::from_static(b"abcdef")) }; 3]);
}

#[test]
fn a_body_that_is_too_large_or_of_unknown_size_is_sent_once() {
    assert_eq!(send(request(Method::PUT, of(BUFFERED_AT_MOST))).len(), 3);
    let large = send(request(Method::PUT, of(BUFFERED_AT_MOST + 1)));
    assert_eq!(large.len(), 1);
    assert_eq!(large[0].as_ref().unwrap().len(), BUFFERED_AT_MOST + 1);
    let unknown = send(request(Method::PUT, frames(None, [Ok("a"), Ok("b")])));
    assert_eq!(unknown, [Ok(Bytes::from_static(b"ab"))]);
}

#[test]
fn a_body_that_lies_about_its_size_or_fails_arrives_as_it_is_and_once() {
    let mut liar = of(BUFFERED_AT_MOST + 1);
    liar.claims = Some(10);
    liar.frames
        .push_back(Ok(Frame::data(Bytes::from_static(b"end"))));
    let arrived = send(request(Method::PUT, liar));
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].as_ref().unwrap().len(), BUFFERED_AT_MOST + 4);
    let broken = frames(Some(6), [Ok("abc"), Err("connection lost")]);
    assert_eq!(send(request(Method::PUT, broken)), [Err("connection lost")]);
}

#[test]
fn an_attempt_waits_for_the_inner_service_and_each_makes_its_own_ready() {
    let (clock, time) = Clock::manual();
    let budget = Budget::percent(1_000).with_clock(clock.clone());
    let settings = RetrySettings::exponential(MS, MS).with_attempts(2);
    let retry = Retry::new("http", settings, budget).unwrap();
    let retry = retry.with_clock(clock);
    let (probe, handle) = ServiceProbe::new(|_: Request<ReplayBody<Full<Bytes>>>| {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    });
    let mut service = retry.layer(Http::new()).layer(probe);
    handle.hold_readiness();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut answer = pin!(service.call(Request::new(Full::default())));
    assert!(answer.as_mut().poll(&mut cx).is_pending());
    assert_eq!((handle.readied(), handle.calls()), (0, 0));
    handle.grant_readiness();
    assert!(answer.as_mut().poll(&mut cx).is_pending());
    assert_eq!((handle.readied(), handle.calls()), (1, 1));
    time.advance(MS);
    assert!(answer.as_mut().poll(&mut cx).is_ready());
    assert_eq!(
        (handle.readied(), handle.calls(), handle.reserved()),
        (2, 2, 0)
    );
}

/// A client that sends its first half and then lets everybody wait, until it is told to go on.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<VecDeque<&'static str>>>);

impl Body for Slow {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        match self.0.lock().unwrap().pop_front() {
            Some("") => Poll::Ready(None),
            Some(data) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(data.as_bytes()))))),
            None => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(6)
    }
}

/// How long a request whose body stalls is held back; and what arrives of it then, once.
fn held_back(deadline: Option<Duration>) -> (Duration, Bytes) {
    let (clock, time) = Clock::manual();
    let budget = Budget::percent(1_000).with_clock(clock.clone());
    let retry = Retry::new("http", RetrySettings::exponential(MS, MS), budget).unwrap();
    let retry = retry.with_clock(clock.clone());
    let client = Slow::default();
    client.0.lock().unwrap().push_back("abc");
    let server = service_fn(|request: Request<ReplayBody<Slow>>| {
        // The rest comes once the server is there to read it.
        client.0.lock().unwrap().extend(["def", ""]);
        async move {
            let whole = request.into_body().collect().await?.to_bytes();
            let mut response = Response::new(whole);
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            Ok::<_, &'static str>(response)
        }
    });
    let mut request = request(Method::PUT, client.clone());
    if let Some(after) = deadline {
        request
            .extensions_mut()
            .insert(Deadline::after(after, &clock));
    }
    let mut answer = pin!(retry.layer(Http::new()).layer(server).call(request));
    let mut cx = Context::from_waker(Waker::noop());
    let began = clock.now();
    loop {
        match answer.as_mut().poll(&mut cx) {
            Poll::Ready(answer) => {
                let took = clock.now().saturating_duration_since(began);
                return (took, answer.unwrap().into_body());
            }
            Poll::Pending => {
                assert!(time.next_deadline().is_some(), "nobody would wake it");
                time.advance(100 * MS);
            }
        }
    }
}

#[test]
fn a_body_that_takes_too_long_to_be_kept_is_sent_once_as_it_comes() {
    assert_eq!(held_back(None), (BUFFERED_WITHIN, "abcdef".into()));
    let second = Duration::from_secs(1);
    assert_eq!(held_back(Some(second)), (second, "abcdef".into()));
}
