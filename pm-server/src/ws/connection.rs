use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use pm_core::{Identity, Tick};

use super::{
    Close, CloseCode, Frames, Gate, Question, SocketSettings,
    outbox::{Next, Outbox},
    reply,
    session::Session,
};
use crate::{
    domain::Mutation,
    r#gen::{self as pb, server_frame},
    store::Scope,
    sync::Hub,
    wire::encode,
};

/// One conversation, without a socket and without a clock.
///
/// Feed it messages ([`receive`](Self::receive)), results of its [`Action`]s and the time; take
/// messages ([`next_message`](Self::next_message)) and actions ([`next_action`](Self::next_action))
/// until there are none, and then look whether this was the [`end`](Self::end).
#[derive(Debug)]
pub struct Connection {
    pub(super) settings: Arc<SocketSettings>,
    pub(super) gate: Option<Gate>,
    pub(super) id: Box<str>,
    pub(super) phase: Phase,
    pub(super) frames: Frames,
    /// Waits until it is decided whether it may pass; and what follows it waits, too.
    pub(super) undecided: Option<Box<pb::ClientFrame>>,
    pub(super) actions: VecDeque<Action>,
    pub(super) outbox: Outbox,
    pub(super) last_traffic: Tick,
    /// What was refused in a row because there was too much.
    pub(super) gated: u32,
    pinged: Option<Tick>,
    pub(super) draining: Option<Duration>,
    pub(super) closing: Option<Close>,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// Nothing but a hello is accepted.
    Silent {
        until: Tick,
    },
    /// The hello is being looked at; what follows it waits.
    Opening {
        frame: u32,
        until: Tick,
    },
    Open(Box<Session>),
}

/// What a connection needs done. Each is answered by the method of the same name, in the past.
#[derive(Debug)]
#[allow(missing_docs)] // the fields are what the schema calls them
pub enum Action {
    /// Find out whether a frame may pass: [`Connection::decided`].
    Ask { question: Question },
    /// Verify the token and open its tenant: [`Connection::opened`].
    Open { token: String, tenant: String },
    /// Submit to the tenant's writer: [`Connection::submitted`].
    Submit { frame: u32, mutation: Mutation },
    /// Take a snapshot: [`Connection::snapshotted`].
    Snapshot { frame: u32, scope: Scope },
    /// Read the log: [`Connection::read`].
    Read {
        scope: Scope,
        after: u64,
        limit: usize,
    },
}

/// What an accepted hello comes with.
#[derive(Debug)]
pub struct Opened {
    /// Who it is.
    pub identity: Identity,
    /// When the token ends.
    pub expires: Tick,
    /// The tenant's events.
    pub hub: Hub,
}

/// Why a hello was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The token is missing, bad or has expired; in words.
    Token(String),
    /// The token is good for something else; in words.
    Rights(String),
    /// There is no such tenant.
    UnknownTenant(String),
    /// The tenant cannot be opened now; in words, and when to ask again.
    Unavailable(String, Duration),
}

impl Connection {
    /// A connection that was just accepted. `id` names it in errors and logs.
    #[must_use]
    pub fn new(
        id: impl Into<Box<str>>,
        settings: impl Into<Arc<SocketSettings>>,
        now: Tick,
    ) -> Self {
        let settings = settings.into();
        Self {
            id: id.into(),
            phase: Phase::Silent {
                until: now + settings.hello_within,
            },
            settings,
            gate: None,
            frames: Frames::default(),
            undecided: None,
            actions: VecDeque::new(),
            outbox: Outbox::default(),
            last_traffic: now,
            gated: 0,
            pinged: None,
            draining: None,
            closing: None,
        }
    }

    /// The same connection, with a gate that its frames have to pass, from the first one behind the
    /// hello on. Without it they all pass.
    #[must_use]
    pub fn with_gate(self, gate: Gate) -> Self {
        Self {
            gate: Some(gate),
            ..self
        }
    }

    /// Whether the next message may be read: the one before was looked at to its end.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.frames.is_empty()
            && self.undecided.is_none()
            && self.closing.is_none()
            && self.draining.is_none()
    }

    /// Takes a binary message.
    pub fn receive(&mut self, message: Bytes, now: Tick, wall_us: i64) {
        self.last_traffic = now;
        self.pinged = None;
        self.frames = Frames::of(message);
        self.work(wall_us);
    }

    /// Takes a message that is not binary.
    pub fn receive_text(&mut self) {
        self.close(Close::for_good(
            CloseCode::Protocol,
            "send binary messages, packets of pm.v1",
        ));
    }

    /// Takes a ping or a pong of WebSocket's own, which costs what a frame does that has no business
    /// here.
    pub fn receive_control(&mut self) {
        let nothing = pb::ClientFrame::default();
        self.let_through(nothing);
    }

    /// What is to be done next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next message to send, of about the size that the settings say.
    pub fn next_message(&mut self, now: Tick, wall_us: i64) -> Option<Bytes> {
        self.work(wall_us);
        let budget = self.settings.coalesce_bytes;
        loop {
            let live = match &mut self.phase {
                Phase::Open(session) if session.reading.is_none() => {
                    Some((&session.hub, &mut session.cursors))
                }
                Phase::Open(_) | Phase::Silent { .. } | Phase::Opening { .. } => None,
            };
            match self.outbox.next(live, budget) {
                Next::Message(message) => {
                    self.last_traffic = now;
                    return Some(message);
                }
                Next::Behind { scope, after } => self.catch_up(scope, after),
                Next::Nothing => return None,
            }
        }
    }

    /// The end, once the last message was taken.
    #[must_use]
    pub fn end(&self) -> Option<&Close> {
        self.closing.as_ref().filter(|_| self.outbox.is_over())
    }

    /// Where to be woken when events come, once that is known.
    #[must_use]
    pub fn hub(&self) -> Option<&Hub> {
        match &self.phase {
            Phase::Open(session) => Some(&session.hub),
            Phase::Silent { .. } | Phase::Opening { .. } => None,
        }
    }

    /// When [`tick`](Self::tick) has something to do, unless something happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Tick> {
        match &self.phase {
            _ if self.closing.is_some() => None,
            Phase::Silent { until } => Some(*until),
            Phase::Opening { until, .. } => Some(*until),
            Phase::Open(session) => Some(self.heartbeat().min(session.expires)),
        }
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Tick) {
        match &self.phase {
            Phase::Silent { until } if now >= *until => {
                let wait = self.settings.hello_within;
                self.close(Close::for_now(
                    CloseCode::Slow,
                    "no hello came in time",
                    wait,
                ));
            }
            Phase::Opening { until, .. } if now >= *until => {
                let wait = self.settings.open_within;
                let reason = "the tenant did not open in time";
                self.close(Close::for_now(CloseCode::Unavailable, reason, wait));
            }
            Phase::Open(session) if now >= session.expires => {
                self.close(Close::for_good(CloseCode::Token, "the token has expired"));
            }
            Phase::Open(_) if now >= self.heartbeat() => self.beat(now),
            _ => {}
        }
    }

    /// Ends in order: what was submitted is answered, then the client is told when to come back.
    pub fn drain(&mut self, retry_after: Duration) {
        self.draining = Some(retry_after);
        self.frames = Frames::default();
        self.undecided = None;
        self.close_if_drained();
    }

    /// Ends because the address is kept out, whatever is under way.
    pub fn block(&mut self) {
        self.close(Close::for_good(
            CloseCode::Forbidden,
            "nothing is accepted from this address",
        ));
    }

    fn catch_up(&mut self, scope: Scope, after: u64) {
        let Phase::Open(session) = &mut self.phase else {
            return;
        };
        let lag = session.hub.head().rev - after;
        if lag > self.settings.max_lag && self.closing.is_none() {
            let reason = "too far behind; resume, or take a new snapshot";
            return self.close(Close::for_now(CloseCode::Slow, reason, Duration::ZERO));
        }
        session.reading = Some(after);
        self.actions.push_back(Action::Read {
            scope,
            after,
            limit: self.settings.page,
        });
    }

    fn beat(&mut self, now: Tick) {
        if self.pinged.is_some() {
            let reason = "no sign of life after a ping";
            return self.close(Close::for_now(CloseCode::Slow, reason, Duration::ZERO));
        }
        self.pinged = Some(now);
        self.outbox
            .push(encode::packet(0, server_frame::Body::Ping(pb::Ping {})));
    }

    /// When the silence has lasted too long.
    fn heartbeat(&self) -> Tick {
        match self.pinged {
            Some(pinged) => pinged + self.settings.pong_within,
            None => self.last_traffic + self.settings.heartbeat,
        }
    }

    pub(super) fn reply(&mut self, frame: u32, packet: Bytes) {
        if frame != 0 {
            self.outbox.push(packet);
        }
    }

    pub(super) fn refuse(&mut self, frame: u32, error: pb::Error) {
        if frame != 0 {
            self.refuse_always(frame, error);
        }
    }

    pub(super) fn refuse_always(&mut self, frame: u32, mut error: pb::Error) {
        error.request_id = self.id.as_ref().to_owned();
        self.outbox.push(reply::error(frame, error));
    }

    pub(super) fn close_if_drained(&mut self) {
        let Some(retry_after) = self.draining else {
            return;
        };
        let waiting = match &self.phase {
            Phase::Open(session) => session.in_flight > 0,
            Phase::Silent { .. } | Phase::Opening { .. } => false,
        };
        if !waiting {
            let reason = "the server is going down";
            self.close(Close::for_now(CloseCode::Draining, reason, retry_after));
        }
    }

    /// Says goodbye, once.
    pub(super) fn close(&mut self, close: Close) {
        if self.closing.is_some() {
            return;
        }
        let retry_after_ms = u64::try_from(close.retry_after.as_millis()).unwrap_or(u64::MAX);
        let goodbye = pb::Goodbye {
            close_code: u32::from(close.code.number()),
            reason: close.reason.to_owned(),
            retry_after_ms,
        };
        let goodbye = encode::packet(0, server_frame::Body::Goodbye(goodbye));
        self.outbox.end(goodbye, close.code == CloseCode::Draining);
        self.closing = Some(close);
    }
}
