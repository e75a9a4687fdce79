//! A server in this process, on a real port, under a clock that stands still.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt, stream};
use http::{Response, StatusCode};
use pm_ratelimit::Quota;
use pm_resilience::shutdown::{ShutdownSettings, Summary};
use pm_server::{
    auth::Role,
    r#gen::{self as pb, client_frame, server_frame::Body},
    run::run,
    stack::StackSettings,
};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{self, Message, client::IntoClientRequest, handshake::client::Request},
};

use super::{
    peer::frame,
    service::{Service, settings},
};

pub struct Running {
    pub service: Service,
    pub address: SocketAddr,
    pub ended: JoinHandle<Summary>,
}

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Running {
    pub async fn start() -> Self {
        Self::with(settings()).await
    }

    pub async fn with(settings: StackSettings) -> Self {
        Self::going_down(settings, ShutdownSettings::default()).await
    }

    /// With other quotas for limits that are built in.
    pub async fn limited<'a>(others: impl IntoIterator<Item = (&'a str, Quota)>) -> Self {
        Self::serving(Service::limited(others).await).await
    }

    pub async fn going_down(settings: StackSettings, shutdown: ShutdownSettings) -> Self {
        Self::serving(Service::going_down(settings, shutdown).await).await
    }

    pub async fn serving(mut service: Service) -> Self {
        let settings = service.settings.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shutdown = service.shutdown.take().expect("once");
        let signals = stream::pending();
        let running = run(listener, service.app.clone(), settings, shutdown, signals);
        let ended = tokio::spawn(running);
        service.app.health().started().await;
        Self {
            service,
            address,
            ended,
        }
    }

    pub fn stop(&self) {
        self.service.app.drain().stop();
    }

    /// The status of `GET path`, over a connection of its own; `None` if nobody listens.
    pub async fn get(&self, path: &str) -> Option<StatusCode> {
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    }

    /// A socket of an editor of `acme` that has said hello.
    pub async fn socket(&self) -> Socket {
        self.socket_of("ada", "acme").await
    }

    /// A socket of an editor that has said hello.
    pub async fn socket_of(&self, subject: &str, tenant: &str) -> Socket {
        let bearer = self.service.bearer_of(subject, tenant, Role::Editor);
        let mut request = self.request();
        let headers = request.headers_mut();
        headers.insert("authorization", bearer.parse().expect("a header"));
        let mut socket = upgrade(request).await.expect("a socket");
        let hello = client_frame::Body::Hello(pb::Hello::default());
        say(&mut socket, [frame(1, hello)]).await;
        let said = next(&mut socket).await;
        assert!(matches!(said, Body::Welcome(_)), "{said:?}");
        socket
    }

    /// The request for an upgrade, by nobody in particular.
    pub fn request(&self) -> Request {
        let url = format!("ws://{}/ws", self.address);
        let mut request = url.into_client_request().expect("a request");
        let protocol = "pm.v1.proto".parse().expect("a header");
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        request
    }
}

/// A socket, or what was answered instead.
pub async fn upgrade(request: Request) -> Result<Socket, Response<Option<Vec<u8>>>> {
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => Err(*response),
        Err(other) => panic!("{other}"),
    }
}

pub async fn say(socket: &mut Socket, frames: impl IntoIterator<Item = pb::ClientFrame>) {
    let packet = pb::ClientPacket {
        frames: frames.into_iter().collect(),
    };
    let message = Message::Binary(packet.encode_to_vec().into());
    socket.send(message).await.expect("it is sent");
}

pub async fn next(socket: &mut Socket) -> Body {
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
pub async fn until<T: PartialEq>(wanted: T, mut look: impl AsyncFnMut() -> T) {
    while look().await != wanted {
        tokio::task::yield_now().await;
    }
}
