//! Bad input on a real socket: an answer or the right close code, and the server goes on.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use pm_core::Clock;
use pm_ratelimit::block::Order;
use pm_server::{
    r#gen as pb,
    guard::{Guard, GuardSettings},
};
use prost::Message as _;
use support::{
    peer::{create_project, create_story, frame},
    server::Server,
};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        protocol::frame::{CloseFrame, coding::CloseCode},
    },
};

struct Raw {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    epoch: bytes::Bytes,
}

impl Raw {
    async fn connect(server: &Server) -> Self {
        let mut request = server.url().into_client_request().unwrap();
        let protocol = "pm.v1.proto".parse().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        Self {
            socket,
            epoch: bytes::Bytes::new(),
        }
    }

    async fn hello(server: &Server) -> Self {
        let mut raw = Self::connect(server).await;
        let hello = pb::Hello {
            token: server.token("demo").expose().into(),
            ..pb::Hello::default()
        };
        raw.say([frame(1, pb::client_frame::Body::Hello(hello))])
            .await;
        let answer = raw.hear().await.unwrap();
        let Some(pb::server_frame::Body::Welcome(welcome)) = &answer.frames[0].body else {
            panic!("{answer:?}")
        };
        raw.epoch = welcome.position.as_ref().unwrap().epoch.clone();
        raw
    }

    async fn say(&mut self, frames: impl IntoIterator<Item = pb::ClientFrame>) {
        let packet = pb::ClientPacket {
            frames: frames.into_iter().collect(),
        };
        self.socket
            .send(Message::Binary(packet.encode_to_vec().into()))
            .await
            .unwrap();
    }

    /// The next packet, or how it was closed.
    async fn hear(&mut self) -> Result<pb::ServerPacket, Option<u16>> {
        let clock = Clock::system();
        let deadline = clock.sleep_until(clock.now() + Duration::from_secs(15));
        tokio::select! {
            message = self.socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => Ok(pb::ServerPacket::decode(bytes).unwrap()),
                Some(Ok(Message::Close(Some(CloseFrame { code, .. })))) => Err(Some(code.into())),
                Some(Ok(Message::Close(None)) | Err(_)) | None => Err(None),
                Some(Ok(other)) => panic!("{other:?}"),
            },
            () = deadline => panic!("nothing was said"),
        }
    }

    async fn closed(mut self) -> Option<u16> {
        loop {
            if let Err(code) = self.hear().await {
                return code;
            }
        }
    }
}

/// Somebody else who has opened the file says it.
#[tokio::test]
async fn an_open_socket_ends_within_a_second_of_its_block() {
    let server = Server::start().await;
    let raw = Raw::hello(&server).await;
    let clock = Clock::system();
    let file = server.folder.path().join("guard.sqlite");
    let elsewhere = Guard::open(&file, GuardSettings::default(), clock.clone());
    let elsewhere = elsewhere.await.unwrap();
    let here = Order::on("127.0.0.1/32".parse().unwrap()).by("grace");
    let begun = clock.now();
    elsewhere.blocks().block(here).await.unwrap();
    assert_eq!(raw.closed().await, Some(4403));
    let took = clock.now().saturating_duration_since(begun);
    assert!(took <= Duration::from_secs(1), "{took:?}");

    let request = server.url().into_client_request().unwrap();
    let Err(Error::Http(response)) = tokio_tungstenite::connect_async(request).await else {
        panic!("it is let in");
    };
    assert_eq!(response.status(), 403);
    let problem = String::from_utf8(response.into_body().unwrap()).unwrap();
    assert!(problem.contains("\"request_id\""), "{problem}");
}

#[tokio::test]
async fn bad_input_ends_its_own_socket_with_the_right_code() {
    let server = Server::start().await;
    let mut good = Raw::hello(&server).await;

    let mut text = Raw::hello(&server).await;
    text.socket.send(Message::Text("{}".into())).await.unwrap();
    assert_eq!(text.closed().await, Some(4400));

    for garbage in [vec![0xff; 100], vec![0x0a, 0x80], vec![0x0b; 1000]] {
        let mut raw = Raw::hello(&server).await;
        raw.socket
            .send(Message::Binary(garbage.into()))
            .await
            .unwrap();
        assert_eq!(raw.closed().await, Some(4400));
    }

    let mut early = Raw::connect(&server).await;
    early.say([create_project(2, 1)]).await;
    assert_eq!(early.closed().await, Some(4400));

    let mut silent = Raw::connect(&server).await;
    silent
        .socket
        .send(Message::Ping(vec![1].into()))
        .await
        .unwrap();

    // A title of ten megabytes is more than a message may be: too big, says WebSocket itself.
    let mut large = Raw::hello(&server).await;
    let mut story = create_story(3, 1, 1);
    if let Some(pb::client_frame::Body::Mutate(mutate)) = &mut story.body
        && let Some(pb::mutate::Operation::CreateItem(item)) = &mut mutate.operation
    {
        item.fields.as_mut().unwrap().title = "x".repeat(10 << 20);
    }
    let packet = pb::ClientPacket {
        frames: vec![story],
    }
    .encode_to_vec();
    // The server may close before it has all of it.
    let _ = large.socket.send(Message::Binary(packet.into())).await;
    let code = large.closed().await;
    assert!(
        code.is_none_or(|code| code == u16::from(CloseCode::Size)),
        "{code:?}"
    );

    good.say([create_project(5, 1), create_story(6, 1, 1)])
        .await;
    let answers = good
        .hear()
        .await
        .unwrap()
        .frames
        .into_iter()
        .filter(|frame| frame.id > 0);
    assert!(
        answers.count() >= 1,
        "the server goes on, and nothing is lost"
    );
}

/// A page of the log as one message was larger than what the socket's buffer took: whoever resumed over
/// events of ordinary size was cut off, again and again.
#[tokio::test]
async fn large_events_are_resumed_over() {
    let mut server = Server::start().await;
    let mut writer = Raw::hello(&server).await;
    writer.say([create_project(2, 1)]).await;
    for number in 0..40 {
        let mut story = create_story(0, 1, number);
        if let Some(pb::client_frame::Body::Mutate(mutate)) = &mut story.body
            && let Some(pb::mutate::Operation::CreateItem(item)) = &mut mutate.operation
        {
            item.fields.as_mut().unwrap().description = "x".repeat(60_000);
        }
        writer.say([story]).await;
    }
    writer.say([create_story(9, 1, 1000)]).await;
    while !writer
        .hear()
        .await
        .unwrap()
        .frames
        .iter()
        .any(|frame| frame.id == 9)
    {}

    // The ring is empty after this, so all of it comes from the log.
    server.kill();
    server.restart();
    drop(support::server::connect(&server.options()).await);
    let mut reader = Raw::hello(&server).await;
    let subscribe = pb::Subscribe {
        project_id: bytes::Bytes::new(),
        since: Some(pb::Position {
            epoch: reader.epoch.clone(),
            rev: 0,
        }),
    };
    reader
        .say([frame(2, pb::client_frame::Body::Subscribe(subscribe))])
        .await;
    let mut seen = 0;
    while seen < 42 {
        for frame in reader.hear().await.unwrap().frames {
            if let Some(pb::server_frame::Body::Events(events)) = frame.body {
                for event in events.events {
                    seen += 1;
                    assert_eq!(event.rev, seen);
                }
            }
        }
    }
}
