//! Requests that are let in, or answered, through a real tower stack and a real server.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::convert::Infallible;
use std::future::Future;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use pm_core::Clock;
use pm_resilience::admission::{
    AdmissionLayer, BulkheadAdmissionLayer, Gate, LimitAdmissionLayer, PermitBody,
    ShedAdmissionLayer, problem,
};
use pm_resilience::bulkhead::{Bulkhead, BulkheadSettings};
use pm_resilience::limit::{Limit, LimitSettings, Rule};
use pm_resilience::shed::{Shed, ShedSettings};
use pm_resilience::{Breaker, BreakerSettings, Pattern, Priority};
use pm_testing::drive;
use tower::{Layer, Service, ServiceExt, service_fn};

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn limit(initial: u32) -> Limit {
    let settings = LimitSettings::new().with_initial(initial);
    Limit::new("api", settings)
        .unwrap()
        .with_clock(Clock::manual().0)
}

fn bulkhead(max: u32, queue: u32) -> Bulkhead {
    let settings = BulkheadSettings::new()
        .with_max(NonZeroU32::new(max).unwrap())
        .with_queue(queue);
    Bulkhead::new("api", settings).with_clock(Clock::manual().0)
}

type Answer<G> = Response<PermitBody<G, Full<Bytes>>>;

fn send<G: Gate>(
    layer: &AdmissionLayer<G>,
    request: Request<()>,
    respond: impl Fn() -> Response<Full<Bytes>> + Clone,
) -> Answer<G> {
    let inner = service_fn(move |_: Request<()>| {
        let respond = respond.clone();
        async move { Ok::<_, Infallible>(respond()) }
    });
    drive(layer.layer(inner).oneshot(request)).unwrap()
}

fn hello() -> Response<Full<Bytes>> {
    Response::new(Full::from("hello"))
}

#[test]
fn a_refusal_is_a_problem_that_says_when_to_come_back() {
    let limit = limit(1);
    let _permit = limit.try_acquire().unwrap();
    let response = send(
        &LimitAdmissionLayer::new(limit.clone()),
        Request::new(()),
        hello,
    );
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let body = drive(response.into_body().collect()).unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let of_type = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";
    assert_eq!(body["type"], of_type);
    assert!(
        !body.to_string().contains("api"),
        "names of parts are nobody's business"
    );
}

#[test]
fn a_problem_says_what_is_the_matter_and_not_something_else() {
    let breaker = Breaker::new("postgres", BreakerSettings::new()).unwrap();
    breaker.force_open("a test");
    let limit = limit(1);
    let _permit = limit.try_acquire().unwrap();
    for (rejection, says) in [
        (breaker.try_acquire().unwrap_err(), "does not answer"),
        (limit.try_acquire().unwrap_err(), "under way"),
    ] {
        let response: Response<Bytes> = problem(&rejection).into_response();
        let body = String::from_utf8(response.into_body().to_vec()).unwrap();
        assert!(body.contains(says), "{body}");
    }
}

#[test]
fn one_function_makes_the_refusals() {
    let limit = limit(1);
    let _permit = limit.try_acquire().unwrap();
    let layer = LimitAdmissionLayer::new(limit).on_refusal(|rejection| {
        assert_eq!(rejection.by(), Pattern::Limit);
        let mut response = problem(rejection).into_response();
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response
    });
    assert_eq!(send(&layer, Request::new(()), hello).status(), 429);
}

#[test]
fn a_permit_is_held_until_the_body_has_ended_or_is_dropped() {
    for read in [true, false] {
        let (limit, bulkhead) = (limit(5), bulkhead(5, 0));
        let limited = send(
            &LimitAdmissionLayer::new(limit.clone()),
            Request::new(()),
            hello,
        );
        let layer = BulkheadAdmissionLayer::new(bulkhead.clone());
        let bulkheaded = send(&layer, Request::new(()), hello);
        assert_eq!((limit.in_flight(), bulkhead.in_flight()), (1, 1));
        if read {
            let (mut limited, mut bulkheaded) = (limited.into_body(), bulkheaded.into_body());
            assert!(drive(limited.frame()).is_some() && drive(bulkheaded.frame()).is_some());
            assert_eq!((limit.in_flight(), bulkhead.in_flight()), (1, 1));
            assert!(drive(limited.frame()).is_none() && drive(bulkheaded.frame()).is_none());
            assert_eq!((limit.in_flight(), bulkhead.in_flight()), (0, 0));
        } else {
            drop((limited, bulkheaded));
            assert_eq!((limit.in_flight(), bulkhead.in_flight()), (0, 0));
        }
    }
}

#[test]
fn where_it_is_held_until_the_head_who_reads_slowly_holds_none() {
    let (limit, bulkhead) = (limit(1), bulkhead(1, 0));
    let limits = LimitAdmissionLayer::new(limit.clone()).until_head();
    let bulkheads = BulkheadAdmissionLayer::new(bulkhead.clone())
        .until_head()
        .on_refusal(|_| unreachable!("its permit is free again"));
    for _ in 0..3 {
        let unread = (
            send(&limits, Request::new(()), hello),
            send(&bulkheads, Request::new(()), hello),
        );
        assert_eq!((limit.in_flight(), bulkhead.in_flight()), (0, 0));
        let body = drive(unread.0.into_body().collect()).unwrap().to_bytes();
        assert_eq!(&body[..], b"hello");
    }
}

#[test]
fn a_stream_of_events_takes_no_part_in_the_limit() {
    let limit = limit(5);
    let layer = LimitAdmissionLayer::new(limit.clone());
    let events = || {
        let response =
            Response::builder().header("content-type", "text/event-stream; charset=utf-8");
        response.body(Full::from("data: 1\n\n")).unwrap()
    };
    let _events = send(&layer, Request::new(()), events);
    assert_eq!(limit.in_flight(), 0);
    let upgrade = || {
        let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        response.body(Full::default()).unwrap()
    };
    let _socket = send(&layer, Request::new(()), upgrade);
    assert_eq!(limit.in_flight(), 0);
}

#[test]
fn a_limit_learns_from_the_head_and_not_from_a_slow_reader() {
    let (clock, time) = Clock::manual();
    let settings = LimitSettings::new().with_rule(Rule::aimd(Duration::from_millis(50)));
    let limit = Limit::new("api", settings).unwrap().with_clock(clock);
    let layer = LimitAdmissionLayer::new(limit.clone());
    for _ in 0..30 {
        let response = send(&layer, Request::new(()), hello);
        time.advance(Duration::from_secs(60));
        drop(response);
    }
    assert_eq!(limit.limit(), 20);
    let busy = || {
        let response = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE);
        response.body(Full::default()).unwrap()
    };
    for _ in 0..10 {
        drop(send(&layer, Request::new(()), busy));
        time.advance(Duration::from_millis(20));
    }
    assert_eq!(limit.limit(), 18, "503 is lost");
}

#[test]
fn the_priority_is_an_extension_of_the_request() {
    let shed = Shed::new(limit(10), ShedSettings::default()).unwrap();
    let layer = ShedAdmissionLayer::new(shed);
    let ask = |priority: Option<Priority>| {
        let mut request = Request::new(());
        if let Some(priority) = priority {
            request.extensions_mut().insert(priority);
        }
        send(&layer, request, hello)
    };
    let held: Vec<_> = (0..8).map(|_| ask(None)).collect();
    assert!(held.iter().all(|response| response.status() == 200));
    assert_eq!(ask(None).status(), 503, "without one it is a normal one");
    assert_eq!(ask(Some(Priority::Low)).status(), 503);
    assert_eq!(ask(Some(Priority::High)).status(), 200);
}

#[test]
fn an_error_of_the_inner_service_stays_what_it_is_and_frees_the_permit() {
    let bulkhead = bulkhead(1, 0);
    let failing = service_fn(|_: Request<()>| async { Err::<Response<Full<Bytes>>, _>("broken") });
    let service = BulkheadAdmissionLayer::new(bulkhead.clone()).layer(failing);
    for _ in 0..3 {
        assert_eq!(
            drive(service.clone().oneshot(Request::new(()))).err(),
            Some("broken")
        );
        assert_eq!(bulkhead.in_flight(), 0);
    }
}

#[test]
fn who_may_wait_is_let_in_when_a_permit_comes_back() {
    let bulkhead = bulkhead(1, 1);
    let permit = bulkhead.try_acquire().unwrap();
    let inner = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(hello()) });
    let mut service = BulkheadAdmissionLayer::new(bulkhead.clone()).layer(inner);
    let mut waits = Box::pin(service.call(Request::new(())));
    assert!(poll(waits.as_mut()).is_pending());
    let refused = drive(service.call(Request::new(()))).unwrap();
    assert_eq!(refused.status(), 503, "one may wait, not two");
    drop(permit);
    match poll(waits.as_mut()) {
        Poll::Ready(Ok(response)) => assert_eq!(response.status(), 200),
        _ => panic!("not let in"),
    }
    assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (0, 0));
}

#[test]
fn trap_h_a_panic_in_the_inner_call_frees_its_slot() {
    let limit = limit(1);
    let panics = service_fn(|_: Request<()>| async {
        if true {
            panic!("a call of a test");
        }
        Ok::<_, Infallible>(hello())
    });
    let service = LimitAdmissionLayer::new(limit.clone()).layer(panics);
    let call = AssertUnwindSafe(|| drive(service.oneshot(Request::new(()))).is_ok());
    assert!(catch_unwind(call).is_err());
    assert_eq!(limit.in_flight(), 0);
}

/// A connection to a real server, in memory: a thousand sockets are more than many machines allow.
async fn connect<G: Gate>(layer: &AdmissionLayer<G>) -> SendRequest<Empty<Bytes>>
where
    PermitBody<G, Full<Bytes>>: Send,
{
    let (ours, theirs) = tokio::io::duplex(4096);
    let inner = service_fn(|_: Request<Incoming>| async { Ok::<_, Infallible>(hello()) });
    let service = TowerToHyperService::new(layer.layer(inner));
    let builder = hyper::server::conn::http1::Builder::new();
    tokio::spawn(builder.serve_connection(TokioIo::new(theirs), service));
    let (client, connection) = handshake(TokioIo::new(ours)).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn a_thousand_hold_nothing<G: Gate>(layer: AdmissionLayer<G>, in_flight: impl Fn() -> usize)
where
    PermitBody<G, Full<Bytes>>: Send,
{
    let mut clients = Vec::new();
    for _ in 0..1_000 {
        let mut client = connect(&layer).await;
        // Used once, so that it is kept alive and asked whether it is ready for the next.
        let request = Request::get("/").header("host", "x").body(Empty::new());
        let response = client.send_request(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().collect().await.unwrap();
        clients.push(client);
    }
    // The last bytes may arrive before the server has let go of what they came from.
    for _ in 0..1_000 {
        if in_flight() == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(clients.iter().all(|client| !client.is_closed()));
    assert_eq!(in_flight(), 0);
}

#[tokio::test]
async fn trap_j_a_thousand_idle_connections_hold_no_permit() {
    let (limit, bulkhead) = (limit(5), bulkhead(5, 0));
    let layer = BulkheadAdmissionLayer::new(bulkhead.clone());
    a_thousand_hold_nothing(layer, || bulkhead.in_flight()).await;
    let layer = LimitAdmissionLayer::new(limit.clone());
    a_thousand_hold_nothing(layer, || limit.in_flight() as usize).await;
}

#[test]
fn a_refused_request_never_reaches_the_inner_service() {
    let bulkhead = bulkhead(1, 0);
    let _permit = bulkhead.try_acquire().unwrap();
    let reached = Arc::new(AtomicBool::new(false));
    let seen = reached.clone();
    let respond = move || {
        seen.store(true, Ordering::SeqCst);
        hello()
    };
    let layer = BulkheadAdmissionLayer::new(bulkhead);
    assert_eq!(send(&layer, Request::new(()), respond).status(), 503);
    assert!(!reached.load(Ordering::SeqCst));
}
