mod failure;
mod silence;

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{
    Sink, Stream,
    future::{Either, select},
};
use pm_core::Clock;
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async_with_config, tungstenite::Message};

use self::{
    failure::{lost, not_upgraded, not_welcome},
    silence::Silence,
};
use super::{Error, Goodbye, Incoming, Options, Session, incoming::position};
use crate::{
    r#gen as pb,
    store::{Position, Scope},
};

/// How long a server may take to answer the upgrade and hello.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// How long a farewell may take; nobody waits for the answer to it.
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);

/// A conversation with a server over a WebSocket.
///
/// Queued frames leave with the next [`flush`](Self::flush) or [`next`](Self::next), several in one
/// message. Nothing is spawned: what is not polled stands still, and the server ends a connection
/// whose heartbeat nobody answers.
pub struct Connection {
    socket: WebSocketStream<TcpStream>,
    session: Session,
    welcome: Box<pb::Welcome>,
    /// What was taken from the session is with the socket, which may still hold some of it.
    unflushed: bool,
    /// Writing failed. Reading goes on: the server may have said why before it closed.
    broken: Option<Error>,
    silence: Option<Silence>,
}

impl Connection {
    /// Connects, upgrades and says hello.
    ///
    /// # Errors
    ///
    /// Any but [`Error::TooLarge`]. No answer within ten seconds is [`Error::Silent`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, it leaves no connection behind.
    pub async fn open(options: &Options, clock: &Clock) -> Result<Self, Error> {
        let (_, address) = options.request()?;
        within(WELCOME_WITHIN, clock, async {
            let stream = TcpStream::connect(address).await.map_err(|source| {
                let url = options.shown_url();
                match source.kind() {
                    io::ErrorKind::ConnectionRefused => Error::NotRunning { url, source },
                    _ => Error::Unreachable { url, source },
                }
            })?;
            // Small frames that wait for others to fill a segment would wait for an answer to
            // something that was not sent yet.
            stream.set_nodelay(true).map_err(Error::Lost)?;
            Self::hello(stream, options, clock).await
        })
        .await
    }

    /// Upgrades a connection that the caller made, and says hello.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn over(stream: TcpStream, options: &Options, clock: &Clock) -> Result<Self, Error> {
        within(WELCOME_WITHIN, clock, Self::hello(stream, options, clock)).await
    }

    async fn hello(stream: TcpStream, options: &Options, clock: &Clock) -> Result<Self, Error> {
        let (request, _) = options.request()?;
        let (socket, _) = client_async_with_config(request, stream, Some(options.socket()))
            .await
            .map_err(|error| not_upgraded(error, options))?;
        let mut connection = Self {
            socket,
            session: Session::new(options),
            welcome: Box::default(),
            unflushed: false,
            broken: None,
            silence: None,
        };
        match connection.next().await? {
            Incoming::Welcome(welcome) => connection.welcome = welcome,
            Incoming::Answered {
                answer: Err(rejection),
                ..
            }
            | Incoming::Rejected(rejection) => return Err(not_welcome(rejection, options)),
            Incoming::Goodbye(goodbye) => return Err(goodbye.into()),
            _ => return Err(Error::Protocol("something else before the welcome")),
        }
        connection.silence = Silence::of(&connection.welcome, clock);
        Ok(connection)
    }

    /// What the server said about itself and this connection.
    #[must_use]
    pub fn welcome(&self) -> &pb::Welcome {
        &self.welcome
    }

    /// The head of the change log when the connection was made.
    #[must_use]
    pub fn head(&self) -> Option<Position> {
        position(self.welcome.position.as_ref()?)
    }

    /// How many changes the server takes before it has answered the first; at least one.
    #[must_use]
    pub fn max_in_flight(&self) -> usize {
        let limits = self.welcome.limits.as_ref();
        let most = limits.map_or(1, |limits| limits.max_in_flight.max(1));
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    /// How many changes are sent or queued and not yet answered.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.session.in_flight()
    }

    /// Queues one change and returns the id that its answer will have.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], and nothing is queued.
    pub fn mutate(&mut self, mutation: pb::Mutate) -> Result<u32, Error> {
        self.session.mutate(mutation)
    }

    /// Queues a request for all events of a scope: those after `since`, or those after a snapshot
    /// that comes first. Returns the id that its answer will have.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], and nothing is queued.
    pub fn subscribe(&mut self, scope: Scope, since: Option<Position>) -> Result<u32, Error> {
        self.session.subscribe(scope, since)
    }

    /// Queues the end of a subscription and returns the id that its answer will have.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], and nothing is queued.
    pub fn unsubscribe(&mut self, scope: Scope) -> Result<u32, Error> {
        self.session.unsubscribe(scope)
    }

    /// The next thing that the server says; while it is waited for, what is queued is sent.
    ///
    /// # Errors
    ///
    /// Why the connection ended. There is no other after that.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, nothing that came is lost and nothing that is queued is sent twice.
    pub async fn next(&mut self) -> Result<Incoming, Error> {
        poll_fn(|cx| {
            loop {
                // What came in one message is handed out before anything is sent, so that what the
                // caller queues in return leaves in one message too.
                if let Some(incoming) = self.session.next() {
                    return Poll::Ready(Ok(incoming));
                }
                let _ = self.poll_send(cx);
                if let Poll::Ready(received) = self.poll_receive(cx) {
                    received?;
                } else if let Some(error) = self.broken.take() {
                    return Poll::Ready(Err(self.ended(error)));
                } else {
                    return self.poll_silence(cx);
                }
            }
        })
        .await
    }

    /// Sends what is queued. Until that is done, what the server says is taken in for
    /// [`next`](Self::next): two ends that both only write would wait for each other.
    ///
    /// # Errors
    ///
    /// Why the connection ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the rest is sent with the next call of this or of `next`.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| {
            loop {
                if self.poll_send(cx).is_ready() {
                    return Poll::Ready(Ok(()));
                }
                if let Poll::Ready(received) = self.poll_receive(cx) {
                    received?;
                } else if let Some(error) = self.broken.take() {
                    return Poll::Ready(Err(self.ended(error)));
                } else {
                    return self.poll_silence(cx);
                }
            }
        })
        .await
    }

    /// Says goodbye and sends what is queued. What the server had still to say is not waited for.
    pub async fn close(mut self, clock: &Clock) {
        let farewell = poll_fn(|cx| {
            ready!(self.poll_send(cx));
            Pin::new(&mut self.socket).poll_close(cx).map(drop)
        });
        let deadline = clock.now() + FAREWELL_WITHIN;
        select(farewell, pin!(clock.sleep_until(deadline))).await;
    }

    /// Ready when everything is sent. A failure is kept in `broken`.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.broken.is_some() {
            return Poll::Pending;
        }
        let mut socket = Pin::new(&mut self.socket);
        loop {
            let step = if self.session.has_queued() {
                ready!(socket.as_mut().poll_ready(cx)).and_then(|()| {
                    self.unflushed = true;
                    let message = self.session.take().unwrap_or_default();
                    socket.as_mut().start_send(Message::Binary(message))
                })
            } else if self.unflushed {
                ready!(socket.as_mut().poll_flush(cx)).map(|()| self.unflushed = false)
            } else {
                return Poll::Ready(());
            };
            if let Err(error) = step {
                self.broken = Some(lost(error));
                return Poll::Pending;
            }
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let message = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Poll::Ready(Err(self.ended(lost(error)))),
            None => {
                let end = Error::Lost(io::ErrorKind::UnexpectedEof.into());
                return Poll::Ready(Err(self.ended(end)));
            }
        };
        if let Some(silence) = &mut self.silence {
            silence.broken();
        }
        Poll::Ready(match message {
            Message::Binary(packet) => self.session.receive(packet),
            Message::Close(Some(close)) => Err(self.ended(Error::from(Goodbye {
                code: close.code.into(),
                reason: close.reason.as_str().to_owned(),
                retry_after: None,
            }))),
            Message::Close(None) => {
                let end = Error::Lost(io::ErrorKind::ConnectionAborted.into());
                Err(self.ended(end))
            }
            Message::Text(_) => Err(Error::Protocol("a text message")),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        })
    }

    /// What the server said before it closed says more than how it closed.
    fn ended(&self, how: Error) -> Error {
        self.session.goodbye().cloned().map_or(how, Error::from)
    }

    fn poll_silence<T>(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        let Some(silence) = &mut self.silence else {
            return Poll::Pending;
        };
        ready!(silence.poll(cx));
        Poll::Ready(Err(Error::Silent(silence.limit())))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.welcome.connection_id)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

async fn within<T>(
    limit: Duration,
    clock: &Clock,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let deadline = clock.now() + limit;
    match select(pin!(work), pin!(clock.sleep_until(deadline))).await {
        Either::Left((done, _)) => done,
        Either::Right(_) => Err(Error::Silent(limit)),
    }
}

#[cfg(test)]
mod tests;
