//! A real server goes down. These tests measure real time, since that is what an orchestrator does.
//!
//! `PM_TEST_LONG=1` has 10,000 requests in flight instead of 1,000.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, FuturesUnordered, StreamExt};
use http::{Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use pm_core::Clock;
use pm_resilience::health::{Health, Probe};
use pm_resilience::shutdown::{
    Drain, Ended, Kind, Phase, Shutdown, ShutdownSettings, Signal, Signals,
};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[derive(Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

/// Accepts until the draining begins, and serves `/hang`, which never answers, `/finish`, which answers
/// once the draining has begun, and anything else, which is the ready probe.
async fn serve(protocol: Protocol, drain: Drain, health: Health) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = {
        let drain = drain.clone();
        async move {
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    () = drain.reached(Phase::Draining) => return,
                };
                let connection = connection(protocol, stream, drain.clone(), health.clone());
                tokio::spawn(drain.track(Kind::Connection, connection));
            }
        }
    };
    tokio::spawn(drain.track(Kind::Task, accepting));
    address
}

async fn connection(protocol: Protocol, stream: TcpStream, drain: Drain, health: Health) {
    stream.set_nodelay(true).unwrap();
    let io = TokioIo::new(stream);
    let leaving = drain.reached(Phase::Draining);
    let service = service_fn(move |request: Request<Incoming>| {
        let (drain, health) = (drain.clone(), health.clone());
        async move {
            let _request = drain.hold(Kind::Request);
            let response = match request.uri().path() {
                "/hang" => std::future::pending().await,
                "/finish" => {
                    drain.reached(Phase::Draining).await;
                    Response::new(Bytes::from_static(b"finished"))
                }
                _ => health.response(Probe::Ready),
            };
            Ok::<_, Infallible>(response.map(Full::new))
        }
    });
    // Errors are those of clients that were cut off.
    match protocol {
        Protocol::Http1 => {
            let builder = hyper::server::conn::http1::Builder::new();
            let mut connection = std::pin::pin!(builder.serve_connection(io, service));
            tokio::select! {
                _ = connection.as_mut() => {}
                () = leaving => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        }
        Protocol::Http2 => {
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let mut connection = std::pin::pin!(builder.serve_connection(io, service));
            tokio::select! {
                _ = connection.as_mut() => {}
                () = leaving => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
        }
    }
}

fn request(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("http://server{path}"))
        .body(Empty::new())
        .unwrap()
}

type Http1 = hyper::client::conn::http1::SendRequest<Empty<Bytes>>;

async fn http1(address: SocketAddr) -> Http1 {
    let stream = TcpStream::connect(address).await.unwrap();
    let io = TokioIo::new(stream);
    let (client, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn until(condition: impl Fn() -> bool) {
    let clock = Clock::system();
    let waited = clock.within(Duration::from_secs(60), async {
        while !condition() {
            clock.sleep_until(clock.now() + millis(1)).await;
        }
    });
    waited.await.expect("the condition did not come true");
}

fn shutdown(delay: Duration, drain: Duration) -> Shutdown {
    Shutdown::new(
        ShutdownSettings::new()
            .with_delay(delay)
            .with_drain(drain)
            .with_cancel(millis(50))
            .with_close(millis(50))
            .with_budget(Duration::from_secs(120)),
    )
    .unwrap()
}

fn healthy(drain: &Drain) -> Health {
    Health::builder().drain(drain.clone()).build().unwrap()
}

/// What a busy machine does in time at least once.
const CHANCES: usize = 5;

/// How long after the signal ready says no; nothing if the server was gone before it could be asked.
async fn takes_to_say_no() -> Option<Duration> {
    let shutdown = shutdown(millis(400), millis(100));
    let drain = shutdown.drain();
    let address = serve(Protocol::Http1, drain.clone(), healthy(&drain)).await;
    let mut client = http1(address).await;
    let first = client.send_request(request("/ready")).await.unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    drop(first);

    let run = tokio::spawn(shutdown.run(Signals::listen().unwrap()));
    let clock = Clock::system();
    let kill = format!("kill -TERM {}", std::process::id());
    let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
    let signalled = clock.now();
    assert!(sent.success());
    let said_no = async {
        loop {
            client.ready().await.ok()?;
            let answer = client.send_request(request("/ready")).await.ok()?;
            if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
                return Some(clock.now());
            }
        }
    };
    let said_no = said_no.await;
    // Everything else is still served until load balancers have noticed.
    let served = drain.phase() == Phase::Unready;
    drop(client);
    let empty = run.await.unwrap().ended() == Ended::Empty;
    let said_no = said_no.filter(|_| served && empty)?;
    Some(said_no.saturating_duration_since(signalled))
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_says_no_within_50_ms_of_the_signal() {
    let mut took = [None; CHANCES];
    for took in &mut took {
        *took = takes_to_say_no().await;
        if took.is_some_and(|took| took <= millis(50)) {
            return;
        }
    }
    panic!("never in time: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_in_flight_is_lost() {
    #[allow(clippy::disallowed_methods, reason = "a switch of the tests")]
    let connections = match std::env::var_os("PM_TEST_LONG") {
        Some(_) => 100,
        None => 10,
    };
    let requests = connections * 100;
    let shutdown = shutdown(millis(10), Duration::from_secs(60));
    let drain = shutdown.drain();
    let address = serve(Protocol::Http2, drain.clone(), healthy(&drain)).await;
    let answers = FuturesUnordered::new();
    for _ in 0..connections {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let client = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (mut client, connection) = client.await.unwrap();
        tokio::spawn(connection);
        for _ in 0..100 {
            client.ready().await.unwrap();
            answers.push(tokio::spawn(client.send_request(request("/finish"))));
        }
    }
    until(|| drain.held(Kind::Request) == requests).await;

    let summary = tokio::spawn(shutdown.run(stream::iter([Signal::Terminate])));
    let answered = answers
        .filter(|answer| {
            let answer = answer.as_ref().unwrap();
            std::future::ready(answer.as_ref().is_ok_and(|a| a.status() == StatusCode::OK))
        })
        .count()
        .await;
    assert_eq!(answered as u64, requests);
    let summary = summary.await.unwrap();
    assert_eq!(summary.ended(), Ended::Empty);
    assert_eq!(summary.drained(Kind::Request), requests);
    assert_eq!(summary.drained(Kind::Connection), connections);
    assert_eq!(summary.cut_in_all(), 0);
}

/// How much longer it takes than it should, with a handler and a hook that hang.
async fn is_down_late_by() -> Duration {
    let mut shutdown = shutdown(millis(50), millis(200));
    let hangs = std::future::pending::<()>();
    shutdown.hook("hangs", millis(50), hangs).unwrap();
    let drain = shutdown.drain();
    let address = serve(Protocol::Http1, drain.clone(), healthy(&drain)).await;
    let mut client = http1(address).await;
    let hung = tokio::spawn(client.send_request(request("/hang")));
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost: se").await.unwrap();
    until(|| drain.held(Kind::Request) == 1 && drain.held(Kind::Connection) == 2).await;

    let clock = Clock::system();
    let longest = drain.settings().longest();
    let signalled = clock.now();
    let summary = shutdown.run(stream::iter([Signal::Terminate])).await;
    let took = clock.now().saturating_duration_since(signalled);
    assert_eq!(summary.ended(), Ended::Cut);
    assert_eq!(summary.cut(Kind::Request), 1);
    assert_eq!(summary.cut(Kind::Connection), 2);
    // Dropped, not left behind.
    until(|| drain.held(Kind::Request) == 0 && drain.held(Kind::Connection) == 0).await;
    assert!(hung.await.unwrap().is_err());
    took.saturating_sub(longest)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_down_in_time_though_a_handler_hangs_and_a_request_is_half_sent() {
    let mut late = [Duration::MAX; CHANCES];
    for late in &mut late {
        *late = is_down_late_by().await;
        if *late <= millis(250) {
            return;
        }
    }
    panic!("never in time: {late:?}");
}
