//! The way down: not ready, then closed, then everybody asked to leave, then cut off. Over real
//! connections, under a clock that stands still.

mod support;

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use pm_server::{
    auth::Role,
    r#gen as pb,
    run::{Ended, RunSettings, run},
    ws::SocketSettings,
};
use prost::Message as _;
use support::service::{Service, settings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest},
};

struct Running {
    service: Service,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<Ended>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Running {
    async fn start() -> Self {
        Self::with(settings()).await
    }

    async fn with(settings: RunSettings) -> Self {
        let service = Service::new().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let ended = tokio::spawn(run(listener, service.app.clone(), settings, shutdown));
        Self {
            service,
            address,
            stop: Some(stop),
            ended,
        }
    }

    fn stop(&mut self) {
        let stop = self.stop.take().expect("once");
        stop.send(()).expect("it runs");
    }

    /// The status of `GET path`, over a connection of its own; `None` if nobody listens.
    async fn get(&self, path: &str) -> Option<StatusCode> {
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    }

    /// A socket that has said hello.
    async fn socket(&self) -> Socket {
        let mut request = format!("ws://{}/ws", self.address)
            .into_client_request()
            .expect("a request");
        let headers = request.headers_mut();
        let bearer = self.service.bearer("acme", Role::Editor);
        headers.insert("authorization", bearer.parse().expect("a header"));
        headers.insert(
            "sec-websocket-protocol",
            "pm.v1.proto".parse().expect("a header"),
        );
        let (mut socket, _) = tokio_tungstenite::connect_async(request)
            .await
            .expect("a socket");
        let hello = pb::ClientFrame {
            id: 1,
            body: Some(pb::client_frame::Body::Hello(pb::Hello::default())),
        };
        let packet = pb::ClientPacket {
            frames: vec![hello],
        };
        let hello = Message::Binary(packet.encode_to_vec().into());
        socket.send(hello).await.expect("it is sent");
        let said = next(&mut socket).await;
        assert!(
            matches!(said, pb::server_frame::Body::Welcome(_)),
            "{said:?}"
        );
        socket
    }
}

async fn next(socket: &mut Socket) -> pb::server_frame::Body {
    let message = socket
        .next()
        .await
        .expect("a message")
        .expect("a whole one");
    let packet = pb::ServerPacket::decode(message.into_data()).expect("a packet");
    let frame = packet.frames.into_iter().next().expect("a frame");
    frame.body.expect("a body")
}

/// Until it is so: each look is a round trip, which lets the server go on.
async fn until<T: PartialEq>(wanted: T, mut look: impl AsyncFnMut() -> T) {
    while look().await != wanted {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn first_it_is_not_ready_then_it_closes() {
    let mut running = Running::start().await;
    assert_eq!(running.get("/health/ready").await, Some(StatusCode::OK));
    running.stop();
    let unavailable = Some(StatusCode::SERVICE_UNAVAILABLE);
    until(unavailable, async || running.get("/health/ready").await).await;
    // Whoever has not noticed yet is served.
    assert_eq!(running.get("/health/live").await, Some(StatusCode::OK));
    assert_eq!(running.get("/nothing").await, Some(StatusCode::NOT_FOUND));

    running.service.time.advance(settings().drain_delay);
    until(None, async || running.get("/health/ready").await).await;
    assert_eq!(running.ended.await.expect("no panic"), Ended::Empty);
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_does_not_delay_the_end() {
    let mut running = Running::start().await;
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
    running.service.time.advance(settings().drain_delay);
    assert_eq!(running.ended.await.expect("no panic"), Ended::Empty);
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.expect("closed in order");
}

#[tokio::test]
async fn sockets_are_told_when_to_come_back() {
    let mut running = Running::start().await;
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(running.socket().await);
    }
    running.stop();
    let unavailable = Some(StatusCode::SERVICE_UNAVAILABLE);
    until(unavailable, async || running.get("/health/ready").await).await;
    running.service.time.advance(settings().drain_delay);
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
            .all(|wait| *wait <= settings().come_back_within)
    );
    waits.dedup();
    assert!(waits.len() > 1, "not all at the same moment");
    assert_eq!(running.ended.await.expect("no panic"), Ended::Empty);
}

#[tokio::test]
async fn whoever_does_not_leave_is_cut_off() {
    // Shorter than the time that a socket has to take its goodbye.
    let drain_timeout = Duration::from_secs(5);
    assert!(drain_timeout < SocketSettings::default().write_within);
    let mut running = Running::with(RunSettings {
        drain_timeout,
        ..settings()
    })
    .await;
    let _stubborn = running.socket().await;
    let registry = running.service.app.registry().clone();
    assert_eq!(registry.open_count(), 1);
    running.stop();
    let unavailable = Some(StatusCode::SERVICE_UNAVAILABLE);
    until(unavailable, async || running.get("/health/ready").await).await;
    running.service.time.advance(settings().drain_delay);
    until(None, async || running.get("/health/ready").await).await;
    while !running.ended.is_finished() {
        running.service.time.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    assert_eq!(running.ended.await.expect("no panic"), Ended::Cut);
    assert_eq!(
        registry.open_count(),
        0,
        "the tenants are closed all the same"
    );
}

#[tokio::test]
async fn the_head_of_a_request_is_bounded() {
    let mut running = Running::start().await;
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
