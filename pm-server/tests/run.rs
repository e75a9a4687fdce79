//! The way down: not ready, then closed, then everybody asked to leave, then cut off. Over real
//! connections, under a clock that stands still.

mod support;

use std::time::Duration;

use futures_util::StreamExt;
use http::StatusCode;
use pm_resilience::shutdown::{Ended, Kind, ShutdownSettings};
use pm_server::{r#gen as pb, ws::SocketSettings};
use support::{
    running::{Running, next, until},
    service::settings,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn first_it_is_not_ready_then_it_closes() {
    let running = Running::start().await;
    assert_eq!(running.get("/health/ready").await, Some(StatusCode::OK));
    running.stop();
    let unavailable = Some(StatusCode::SERVICE_UNAVAILABLE);
    until(unavailable, async || running.get("/health/ready").await).await;
    // Whoever has not noticed yet is served.
    assert_eq!(running.get("/health/live").await, Some(StatusCode::OK));
    assert_eq!(running.get("/nothing").await, Some(StatusCode::NOT_FOUND));

    running
        .service
        .time
        .advance(ShutdownSettings::default().delay);
    until(None, async || running.get("/health/ready").await).await;
    let summary = running.ended.await.expect("no panic");
    assert_eq!(summary.ended(), Ended::Empty);
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_does_not_delay_the_end() {
    let running = Running::start().await;
    let mut idle = TcpStream::connect(running.address)
        .await
        .expect("a connection");
    idle.write_all(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .expect("sent");
    let mut byte = [0];
    idle.read_exact(&mut byte).await.expect("an answer");
    running.stop();
    let unavailable = Some(StatusCode::SERVICE_UNAVAILABLE);
    until(unavailable, async || running.get("/health/ready").await).await;
    running
        .service
        .time
        .advance(ShutdownSettings::default().delay);
    let summary = running.ended.await.expect("no panic");
    assert_eq!(summary.ended(), Ended::Empty);
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.expect("closed in order");
}

#[tokio::test]
async fn sockets_are_told_when_to_come_back() {
    let running = Running::start().await;
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(running.socket().await);
    }
    running.stop();
    let unavailable = Some(StatusCode::SERVICE_UNAVAILABLE);
    until(unavailable, async || running.get("/health/ready").await).await;
    running
        .service
        .time
        .advance(ShutdownSettings::default().delay);
    let mut waits = Vec::new();
    for socket in &mut sockets {
        let pb::server_frame::Body::Goodbye(goodbye) = next(socket).await else {
            panic!("no goodbye");
        };
        assert_eq!(goodbye.close_code, 4513);
        waits.push(Duration::from_millis(goodbye.retry_after_ms));
        let Some(Ok(Message::Close(Some(close)))) = socket.next().await else {
            panic!("no close frame");
        };
        assert_eq!(u16::from(close.code), 4513);
        while socket.next().await.is_some() {}
    }
    assert!(
        waits
            .iter()
            .all(|wait| *wait <= ShutdownSettings::default().come_back_within)
    );
    waits.dedup();
    assert!(waits.len() > 1, "not all at the same moment");
    let summary = running.ended.await.expect("no panic");
    assert_eq!(summary.ended(), Ended::Empty);
}

#[tokio::test]
async fn whoever_does_not_leave_is_cut_off() {
    // Shorter than the time that a socket has to take its goodbye.
    let drain = Duration::from_secs(5);
    assert!(drain < SocketSettings::default().write_within);
    let shutdown = ShutdownSettings::new().with_drain(drain);
    let running = Running::going_down(settings(), shutdown).await;
    let _stubborn = running.socket().await;
    let registry = running.service.app.registry().clone();
    assert_eq!(registry.open_count(), 1);
    running.stop();
    let unavailable = Some(StatusCode::SERVICE_UNAVAILABLE);
    until(unavailable, async || running.get("/health/ready").await).await;
    running
        .service
        .time
        .advance(ShutdownSettings::default().delay);
    until(None, async || running.get("/health/ready").await).await;
    while !running.ended.is_finished() {
        running.service.time.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    let summary = running.ended.await.expect("no panic");
    assert_eq!(summary.ended(), Ended::Cut);
    assert_eq!(summary.cut(Kind::Socket), 1);
    assert_eq!(
        registry.open_count(),
        0,
        "the tenants are closed all the same"
    );
}

#[tokio::test]
async fn the_head_of_a_request_is_bounded() {
    let running = Running::start().await;
    let mut stream = TcpStream::connect(running.address)
        .await
        .expect("a connection");
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx: ")
        .await
        .expect("sent");
    // The server may close before everything is sent.
    let _ = stream.write_all(&vec![b'a'; 64 * 1024]).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    running.stop();
    running.ended.abort();
}
