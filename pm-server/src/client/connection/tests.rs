//! Over a real loopback socket, against as little of a server as there can be. Time stands still
//! unless a test moves it.

use futures_util::{SinkExt, StreamExt};
use pm_core::ManualTime;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        handshake::server::{ErrorResponse, Request, Response},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::*;
use crate::{
    client::{Answer, Token},
    r#gen::{client_frame::Body as ClientBody, server_frame::Body as ServerBody},
    wire::encode,
};

type Socket = WebSocketStream<TcpStream>;

/// The server's end.
struct Peer(Socket);

impl Peer {
    async fn accept(listener: TcpListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        let socket = accept_hdr_async(stream, agree).await.unwrap();
        Self(socket)
    }

    /// The frames of the next message.
    async fn receive(&mut self) -> Vec<(u32, ClientBody)> {
        let Message::Binary(packet) = self.0.next().await.unwrap().unwrap() else {
            panic!("not a binary message");
        };
        let packet = pb::ClientPacket::decode(packet).unwrap();
        let frames = packet.frames.into_iter();
        frames
            .map(|frame| (frame.id, frame.body.unwrap()))
            .collect()
    }

    async fn send(&mut self, id: u32, body: ServerBody) {
        let packet = Message::Binary(encode::packet(id, body));
        self.0.send(packet).await.unwrap();
    }

    async fn welcome(&mut self) {
        let frames = self.receive().await;
        let [(id, ClientBody::Hello(hello))] = frames.as_slice() else {
            panic!("not a hello: {frames:?}");
        };
        assert_eq!(
            (hello.token.as_str(), hello.tenant.as_str()),
            ("secret", "demo")
        );
        let welcome = pb::Welcome {
            heartbeat_ms: 25_000,
            pong_within_ms: 10_000,
            limits: Some(pb::Limits {
                max_message_bytes: 256 * 1024,
                max_in_flight: 64,
                max_subscriptions: 8,
            }),
            ..pb::Welcome::default()
        };
        self.send(*id, ServerBody::Welcome(welcome)).await;
    }
}

#[allow(clippy::result_large_err)] // the library's signature
fn agree(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    let wanted = &request.headers()["sec-websocket-protocol"];
    assert_eq!(wanted, "pm.v1.proto");
    response
        .headers_mut()
        .insert("sec-websocket-protocol", wanted.clone());
    Ok(response)
}

async fn listener() -> (TcpListener, Options) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/ws", listener.local_addr().unwrap());
    (listener, Options::new(url, "demo", Token::new("secret")))
}

/// Both ends, after the welcome.
async fn pair() -> (Connection, Peer, ManualTime) {
    let (listener, options) = listener().await;
    let (clock, time) = Clock::manual();
    let (connection, peer) = tokio::join!(Connection::open(&options, &clock), async {
        let mut peer = Peer::accept(listener).await;
        peer.welcome().await;
        peer
    });
    (connection.unwrap(), peer, time)
}

/// What opening says when the server does `answer`.
async fn refusal<T>(answer: impl AsyncFnOnce(TcpListener) -> T) -> Error {
    let (listener, options) = listener().await;
    let (clock, _time) = Clock::manual();
    let (connection, _kept) = tokio::join!(Connection::open(&options, &clock), answer(listener));
    connection.unwrap_err()
}

fn named(name: &str) -> pb::Mutate {
    let create = pb::CreateProject {
        name: name.to_owned(),
        ..pb::CreateProject::default()
    };
    pb::Mutate {
        operation: Some(pb::mutate::Operation::CreateProject(create)),
        ..pb::Mutate::default()
    }
}

async fn answered(connection: &mut Connection) -> (u32, Answer) {
    match connection.next().await.unwrap() {
        Incoming::Answered { id, answer } => (id, answer),
        other => panic!("not an answer: {other:?}"),
    }
}

#[tokio::test]
async fn many_changes_are_on_their_way_at_once_in_few_messages() {
    let (mut connection, mut peer, _time) = pair().await;
    assert_eq!(connection.max_in_flight(), 64);
    let ids: Vec<u32> = (0..64)
        .map(|_| connection.mutate(named("a")).unwrap())
        .collect();
    connection.flush().await.unwrap();
    let frames = peer.receive().await;
    assert_eq!(frames.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
    for (id, _) in frames.iter().rev() {
        let ok = pb::Ok {
            rev: u64::from(*id),
            ..pb::Ok::default()
        };
        peer.send(*id, ServerBody::Ok(ok)).await;
    }
    for id in ids.iter().rev() {
        let (answered, answer) = answered(&mut connection).await;
        assert_eq!(answered, *id);
        assert_eq!(answer.unwrap().rev, u64::from(*id));
    }
    assert_eq!(connection.in_flight(), 0);
}

#[tokio::test]
async fn waiting_sends_what_is_queued_and_answers_pings() {
    let (mut connection, mut peer, _time) = pair().await;
    connection.subscribe(Scope::Tenant, None).unwrap();
    let serve = async {
        let frames = peer.receive().await;
        assert!(matches!(frames.as_slice(), [(2, ClientBody::Subscribe(_))]));
        peer.send(0, ServerBody::Ping(pb::Ping {})).await;
        let frames = peer.receive().await;
        assert!(matches!(frames.as_slice(), [(0, ClientBody::Pong(_))]));
        peer.send(2, ServerBody::Ok(pb::Ok::default())).await;
    };
    let follow = async {
        assert!(matches!(connection.next().await, Ok(Incoming::Ping)));
        answered(&mut connection).await.1.unwrap();
    };
    tokio::join!(serve, follow);
}

#[tokio::test]
async fn a_dropped_wait_loses_nothing() {
    let (mut connection, mut peer, _time) = pair().await;
    for round in 0..200_u32 {
        let id = connection.mutate(named("a")).unwrap();
        // Polled once and dropped: at some rounds before the frame left, at some after.
        let mut waiting = Box::pin(connection.next());
        let polled = futures_util::poll!(waiting.as_mut());
        assert!(polled.is_pending(), "round {round}");
        drop(waiting);
        let (_, (answered, answer)) = tokio::join!(
            async {
                let frames = peer.receive().await;
                assert_eq!(frames.len(), 1);
                peer.send(frames[0].0, ServerBody::Ok(pb::Ok::default()))
                    .await;
            },
            answered(&mut connection)
        );
        assert_eq!(answered, id);
        answer.unwrap();
    }
}

#[tokio::test]
async fn two_ends_that_both_write_do_not_wait_for_each_other() {
    let (mut connection, mut peer, _time) = pair().await;
    // More than the kernel holds for a connection, in both directions.
    const FRAMES: u32 = 400;
    let text = "x".repeat(60_000);
    for _ in 0..FRAMES {
        connection.mutate(named(&text)).unwrap();
    }
    let serve = async {
        for _ in 0..FRAMES {
            let error = pb::Error {
                message: text.clone(),
                ..pb::Error::default()
            };
            peer.send(0, ServerBody::Error(error)).await;
        }
        let mut seen = 0;
        while seen < FRAMES {
            seen += u32::try_from(peer.receive().await.len()).unwrap();
        }
    };
    let (sent, ()) = tokio::join!(connection.flush(), serve);
    sent.unwrap();
    for _ in 0..FRAMES {
        assert!(matches!(connection.next().await, Ok(Incoming::Rejected(_))));
    }
}

#[tokio::test]
async fn the_goodbye_says_why_it_ended_and_when_to_come_back() {
    let (mut connection, mut peer, _time) = pair().await;
    let goodbye = pb::Goodbye {
        close_code: 4513,
        reason: "draining".to_owned(),
        retry_after_ms: 700,
    };
    peer.send(0, ServerBody::Goodbye(goodbye)).await;
    drop(peer); // not even a close frame
    assert!(matches!(connection.next().await, Ok(Incoming::Goodbye(_))));
    let error = connection.next().await.unwrap_err();
    assert!(matches!(error, Error::Closed { code: 4513, .. }), "{error}");
    assert_eq!(error.retry_after(), Some(Duration::from_millis(700)));
}

#[tokio::test]
async fn a_close_code_is_enough() {
    let (mut connection, mut peer, _time) = pair().await;
    let close = CloseFrame {
        code: CloseCode::Library(4400),
        reason: "no".into(),
    };
    peer.0.close(Some(close)).await.unwrap();
    let error = connection.next().await.unwrap_err();
    assert!(matches!(error, Error::Closed { code: 4400, .. }), "{error}");
    assert!(!error.is_temporary());
}

#[tokio::test]
async fn a_connection_that_breaks_is_lost() {
    let (mut connection, peer, _time) = pair().await;
    drop(peer);
    let error = connection.next().await.unwrap_err();
    assert!(matches!(error, Error::Lost(_)), "{error}");
    assert!(error.is_temporary());
}

#[tokio::test]
async fn a_heartbeat_that_stops_is_noticed() {
    let (mut connection, mut peer, time) = pair().await;
    time.advance(Duration::from_secs(30));
    peer.send(0, ServerBody::Ping(pb::Ping {})).await;
    assert!(matches!(connection.next().await, Ok(Incoming::Ping)));
    let mut waiting = Box::pin(connection.next());
    // Ten seconds after the first alarm would have gone off, but heard from since.
    time.advance(Duration::from_secs(20));
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    time.advance(Duration::from_secs(20));
    assert!(matches!(waiting.await, Err(Error::Silent(_))));
}

#[tokio::test]
async fn a_refused_hello_says_what_is_wrong() {
    for (code, expected) in [
        (
            pb::Code::Unauthenticated,
            "does not accept the token: because",
        ),
        (pb::Code::UnknownTenant, "does not know the tenant \"demo\""),
        (pb::Code::Forbidden, "does not allow this: because"),
        (pb::Code::Overloaded, "the server refused: because"),
    ] {
        let error = refusal(async |listener| {
            let mut peer = Peer::accept(listener).await;
            peer.receive().await;
            let error = pb::Error {
                code: code as i32,
                message: "because".to_owned(),
                ..pb::Error::default()
            };
            peer.send(1, ServerBody::Error(error)).await;
            peer
        })
        .await;
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!error.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn nobody_there_says_how_to_start_one() {
    let (listener, options) = listener().await;
    drop(listener);
    let (clock, _time) = Clock::manual();
    let error = Connection::open(&options, &clock).await.unwrap_err();
    assert!(error.to_string().contains("start one with"), "{error}");
}

#[tokio::test]
async fn a_server_that_goes_away_during_the_upgrade_is_lost() {
    let error = refusal(async |listener| drop(listener.accept().await.unwrap())).await;
    assert!(matches!(error, Error::Lost(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let (_listener, options) = listener().await;
    let (clock, time) = Clock::manual();
    let mut opening = Box::pin(Connection::open(&options, &clock));
    assert!(futures_util::poll!(opening.as_mut()).is_pending());
    time.advance(WELCOME_WITHIN);
    assert!(matches!(opening.await, Err(Error::Silent(_))));
}

#[tokio::test]
async fn something_else_that_answers_is_told_apart() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for (answer, expected) in [
        ("404 Not Found", "not like a pm server"),
        ("401 Unauthorized", "does not accept the token"),
        ("403 Forbidden", "does not allow this"),
        ("503 Service Unavailable\r\nretry-after: 7", "busy"),
    ] {
        let error = refusal(async |listener| {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        })
        .await;
        assert!(error.to_string().contains(expected), "{error}");
        if expected == "busy" {
            assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        }
    }
}

#[tokio::test]
async fn closing_sends_what_is_queued_first() {
    let (mut connection, mut peer, _time) = pair().await;
    connection.mutate(named("a")).unwrap();
    let (clock, _) = Clock::manual();
    connection.close(&clock).await;
    assert_eq!(peer.receive().await.len(), 1);
    let close = peer.0.next().await.unwrap().unwrap();
    assert!(matches!(close, Message::Close(_)), "{close:?}");
}
