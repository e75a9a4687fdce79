//! From a socket to a [`Connection`] and back: moves bytes, carries out actions, lets time pass.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    response::Response,
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use pm_core::{ClientIp, Clock, Identity, Tick};
use pm_ratelimit::{Verdict, in_flight::Permit};
use pm_resilience::shutdown::{self, Drain, Phase, Reached};
use tokio::sync::watch;
use tracing::Instrument;

use super::{
    Action, Close, CloseCode, Connection, Gate, Opened, PROTOCOL, Rejection, SocketSettings,
};
use crate::{
    guard::Guard,
    store::{Answer, Page, Scope, Snapshot, StoreError},
    sync::Failure,
    tenant::Tenant,
};

/// Enough for most frames of a client; a larger one grows the buffer to twice its size, and a hello with
/// a token is one. The default would reserve 128 KiB a socket.
const READ_BUFFER: usize = 1 << 9;

/// Who may come in.
#[async_trait]
pub trait Admit: Send + Sync + 'static {
    /// Verifies `token` and opens its tenant, which must be `tenant` unless that is empty.
    async fn admit(&self, token: &str, tenant: &str) -> Result<Admitted, Rejection>;
}

/// Somebody who may come in.
#[derive(Debug)]
pub struct Admitted {
    /// Who it is.
    pub identity: Identity,
    /// When the token ends.
    pub expires: Tick,
    /// What it is good for.
    pub tenant: Arc<Tenant>,
}

/// How long whoever is kept out has to hear of it, and to say goodbye.
const BLOCKED_WITHIN: Duration = Duration::from_millis(500);

/// What every socket of a server shares.
#[derive(Clone)]
pub struct Sockets {
    /// What a connection may do.
    pub settings: Arc<SocketSettings>,
    /// Who may come in.
    pub door: Arc<dyn Admit>,
    /// Who is kept out.
    pub guard: Guard,
    /// The time.
    pub clock: Clock,
    /// How far the server is on its way down. Each socket is waited for, from its upgrade on.
    pub drain: Drain,
}

impl std::fmt::Debug for Sockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sockets")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// One socket to be, as its upgrade request was.
pub struct Visit {
    /// Where it comes from.
    pub client: ClientIp,
    /// What the connection is called in errors and logs.
    pub id: String,
    /// The token that the request carried, for a hello without one.
    pub token: Option<String>,
    /// What its frames have to pass.
    pub gate: Option<Gate>,
    /// Leave to have one more socket: given back when this one has ended, however that comes.
    pub permit: Option<Permit>,
}

/// Without the token and the address.
impl std::fmt::Debug for Visit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visit")
            .field("id", &self.id)
            .field("gate", &self.gate)
            .field("permit", &self.permit)
            .finish_non_exhaustive()
    }
}

/// Answers an upgrade request and serves the socket until it ends.
///
/// **Spawns a task**, by axum, that ends with the socket.
pub fn upgrade(request: WebSocketUpgrade, sockets: Sockets, visit: Visit) -> Response {
    let max = sockets.settings.max_message_bytes;
    // What is said in the log of the socket is said of the request.
    let span = tracing::Span::current();
    // Boxed: what is waited with would have room for it as long as the socket lives.
    let visit = Box::new(visit);
    // Before the upgrade is answered: from then on nothing else stands for it.
    let place = sockets.drain.socket();
    request
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        // Each message is written to its end before the next one: the buffer holds one at most. A
        // bound would refuse a single large event, over and over.
        .max_write_buffer_size(usize::MAX)
        .max_message_size(max)
        .max_frame_size(max)
        // Boxed: the machine that serves is large only while it does something.
        .on_upgrade(move |socket| Box::pin(serve(socket, sockets, visit, place).instrument(span)))
}

async fn serve(
    mut socket: WebSocket,
    sockets: Sockets,
    visit: Box<Visit>,
    place: shutdown::Socket,
) {
    let Visit {
        client,
        id,
        token,
        gate,
        permit: _held_to_the_end,
    } = *visit;
    let mut connection = Connection::new(id, sockets.settings.clone(), sockets.clock.now());
    if let Some(gate) = gate {
        connection = connection.with_gate(gate);
    }
    let mut blocked = pin!(sockets.guard.blocks().blocked(client));
    let mut service = Service {
        connection,
        sockets,
        token,
        tenant: None,
        head: None,
        pending: Pending::new(),
        draining: false,
        place,
    };
    // One for the phase that comes next: an idle socket has no room for two.
    let mut phase = pin!(service.place.reached(Phase::Draining));
    // Outside everything that may take its time, such as a write to somebody who does not read.
    let end = tokio::select! {
        biased;
        _ = blocked.as_mut() => End::Blocked,
        end = service.run(&mut socket, phase.as_mut()) => end,
    };
    let Service {
        connection,
        sockets,
        place,
        ..
    } = &mut service;
    let patience = match &end {
        End::Gone => return,
        End::Closed => sockets.settings.write_within,
        End::Say(close) => {
            if close.code == CloseCode::Rate {
                sockets.guard.ignored(client);
            }
            sockets.settings.write_within
        }
        End::Blocked => {
            connection.block();
            BLOCKED_WITHIN
        }
    };
    let clock = sockets.clock.clone();
    let closing = async {
        let close = match &end {
            End::Gone | End::Closed => None,
            End::Say(close) => Some(close),
            End::Blocked => {
                // The first of it finishes what is half sent.
                while let Some(message) = connection.next_message(clock.now(), clock.wall_micros())
                {
                    socket.send(Message::Binary(message)).await?;
                }
                connection.end()
            }
        };
        if let Some(close) = close {
            let code = close.code.number();
            let frame = CloseFrame {
                code,
                reason: close.reason.into(),
            };
            socket.send(Message::Close(Some(frame))).await?;
        }
        // Until the other side has closed, too, or its close was answered: a reset would overtake
        // what was sent last.
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<(), axum::Error>(())
    };
    let _ = within(sockets, place, patience, closing).await;
}

/// How a socket ends.
enum End {
    /// There is nobody any more.
    Gone,
    /// The other side has said that it closes.
    Closed,
    /// This side does.
    Say(Close),
    /// This side does, because the address is kept out.
    Blocked,
}

type Pending = FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>;

/// The result of an action.
enum Done {
    Decided(Verdict),
    Opened(Result<Admitted, Rejection>),
    Submitted(u32, Result<Answer, Failure>),
    Snapshotted(u32, Scope, Result<Snapshot, StoreError>),
    Read(Scope, Result<Page, StoreError>),
}

struct Service {
    connection: Connection,
    sockets: Sockets,
    token: Option<String>,
    tenant: Option<Arc<Tenant>>,
    head: Option<watch::Receiver<u64>>,
    pending: Pending,
    draining: bool,
    place: shutdown::Socket,
}

impl Service {
    async fn run(&mut self, socket: &mut WebSocket, mut phase: Pin<&mut Reached>) -> End {
        loop {
            if let Some(message) = self.next_message() {
                let write = socket.send(Message::Binary(message));
                let patience = self.sockets.settings.write_within;
                match within(&self.sockets, &self.place, patience, write).await {
                    Some(Ok(())) => {}
                    Some(Err(_)) | None => return End::Gone,
                }
                // However much there is to send, what happens meanwhile is not left waiting.
                if let Some(Err(end)) = self.wait(socket, phase.as_mut()).now_or_never() {
                    return end;
                }
            } else if let Some(close) = self.connection.end() {
                return End::Say(close.clone());
            } else if let Err(end) = self.wait(socket, phase.as_mut()).await {
                return end;
            }
        }
    }

    /// Carries out what is to be done, and says what is to be sent.
    fn next_message(&mut self) -> Option<Bytes> {
        let Sockets { clock, .. } = &self.sockets;
        let message = self
            .connection
            .next_message(clock.now(), clock.wall_micros());
        while let Some(action) = self.connection.next_action() {
            self.begin(action);
        }
        message
    }

    /// Waits until anything happens. Cancel-safe.
    async fn wait(
        &mut self,
        socket: &mut WebSocket,
        mut phase: Pin<&mut Reached>,
    ) -> Result<(), End> {
        let Sockets { clock, .. } = &self.sockets;
        let deadline = self.connection.deadline();
        tokio::select! {
            done = self.pending.next(), if !self.pending.is_empty() => {
                if let Some(done) = done {
                    self.done(done);
                }
            }
            message = socket.recv(), if self.connection.wants_input() => {
                match message.transpose().map_err(unreadable)?.ok_or(End::Gone)? {
                    Message::Binary(bytes) => {
                        self.connection.receive(bytes, clock.now(), clock.wall_micros());
                    }
                    Message::Text(_) => self.connection.receive_text(),
                    Message::Ping(_) | Message::Pong(_) => self.connection.receive_control(),
                    Message::Close(_) => return Err(End::Closed),
                }
            }
            () = changed(self.head.as_mut()) => {}
            () = phase.as_mut() => {
                phase.set(self.place.reached(Phase::Cancelling));
                if self.draining {
                    tracing::debug!("a socket was cut off: time is up");
                    return Err(End::Gone);
                }
                self.draining = true;
                self.connection.drain(self.place.leaving().come_back_after);
            }
            () = sleep(clock, deadline), if deadline.is_some() => self.connection.tick(clock.now()),
        }
        Ok(())
    }

    fn begin(&mut self, action: Action) {
        let future: Pin<Box<dyn Future<Output = Done> + Send>> = match action {
            Action::Ask { question } => {
                Box::pin(async move { Done::Decided(question.answer().await) })
            }
            Action::Open { token, tenant } => {
                let token = Some(token)
                    .filter(|token| !token.is_empty())
                    .or(self.token.take());
                let door = self.sockets.door.clone();
                Box::pin(async move {
                    Done::Opened(door.admit(&token.unwrap_or_default(), &tenant).await)
                })
            }
            Action::Submit { frame, mutation } => {
                let Some(tenant) = &self.tenant else { return };
                let pending = tenant.writer().submit(mutation);
                Box::pin(async move {
                    let result = match pending {
                        Ok(answer) => answer.await.unwrap_or(Err(Failure::Unavailable)),
                        Err(failure) => Err(failure),
                    };
                    Done::Submitted(frame, result)
                })
            }
            Action::Snapshot { frame, scope } => {
                let Some(tenant) = self.tenant.clone() else {
                    return;
                };
                Box::pin(async move {
                    Done::Snapshotted(frame, scope, tenant.log().snapshot(scope).await)
                })
            }
            Action::Read {
                scope,
                after,
                limit,
            } => {
                let Some(tenant) = self.tenant.clone() else {
                    return;
                };
                Box::pin(
                    async move { Done::Read(scope, tenant.log().read(scope, after, limit).await) },
                )
            }
        };
        self.pending.push(future);
    }

    fn done(&mut self, done: Done) {
        let Sockets { clock, .. } = &self.sockets;
        match done {
            Done::Decided(verdict) => self.connection.decided(&verdict, clock.wall_micros()),
            Done::Opened(Ok(Admitted {
                identity,
                expires,
                tenant,
            })) => {
                let hub = tenant.hub().clone();
                self.head = Some(hub.follow());
                self.tenant = Some(tenant);
                let opened = Opened {
                    identity,
                    expires,
                    hub,
                };
                self.connection
                    .opened(Ok(opened), clock.now(), clock.wall_micros());
            }
            Done::Opened(Err(rejection)) => {
                self.connection
                    .opened(Err(rejection), clock.now(), clock.wall_micros());
            }
            Done::Submitted(frame, result) => self.connection.submitted(frame, &result),
            Done::Snapshotted(frame, scope, result) => {
                self.connection.snapshotted(frame, scope, result);
            }
            Done::Read(scope, result) => self.connection.read(scope, result),
        }
    }
}

/// What is said to whoever sent what cannot be read: something only if it was too large.
fn unreadable(error: axum::Error) -> End {
    use tokio_tungstenite::tungstenite::Error;
    match error.into_inner().downcast::<Error>().as_deref() {
        Ok(Error::Capacity(_)) => {
            let reason = "the message is larger than `max_message_bytes`";
            End::Say(Close::for_good(CloseCode::TooLarge, reason))
        }
        Ok(_) | Err(_) => End::Gone,
    }
}

/// A write that takes longer than it may: whoever does not read is left alone. It ends, too, when there
/// is no more time for a conversation.
async fn within<T>(
    sockets: &Sockets,
    place: &shutdown::Socket,
    patience: Duration,
    write: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        written = sockets.clock.within(patience, write) => written
            .inspect_err(|_| tracing::debug!("a reader that does not read was cut off"))
            .ok(),
        () = place.cancelled() => None,
    }
}

async fn changed(head: Option<&mut watch::Receiver<u64>>) {
    let Some(head) = head else {
        return std::future::pending::<()>().await;
    };
    if head.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn sleep(clock: &Clock, deadline: Option<Tick>) {
    if let Some(deadline) = deadline {
        clock.sleep_until(deadline).await;
    }
}
