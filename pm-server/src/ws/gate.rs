use std::fmt;

use pm_core::{ClientIp, Identity};
use pm_ratelimit::{Limiter, Op, Subject, Verdict};

use crate::r#gen::client_frame::Body;

/// What a frame of a client is, as limits know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A change: decided, written and synced.
    Mutate,
    /// What has no business here, or that this server does not know; a message without frames, a ping
    /// or a pong of WebSocket's own.
    Other,
    /// A sign of life.
    Pong,
    /// The beginning of a subscription, with a snapshot of all that there is or what was missed.
    Subscribe,
    /// Its end.
    Unsubscribe,
}

impl FrameKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Mutate,
        Self::Other,
        Self::Pong,
        Self::Subscribe,
        Self::Unsubscribe,
    ];

    /// The operation that rules are about.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mutate => "frame.mutate",
            Self::Other => "frame.other",
            Self::Pong => "frame.pong",
            Self::Subscribe => "frame.subscribe",
            Self::Unsubscribe => "frame.unsubscribe",
        }
    }

    /// How many tokens it takes.
    #[must_use]
    pub const fn cost(self) -> u32 {
        match self {
            Self::Other | Self::Pong | Self::Unsubscribe => 1,
            Self::Mutate => 2,
            Self::Subscribe => 10,
        }
    }

    pub(super) const fn of(body: Option<&Body>) -> Self {
        match body {
            Some(Body::Mutate(_)) => Self::Mutate,
            Some(Body::Pong(_)) => Self::Pong,
            Some(Body::Subscribe(_)) => Self::Subscribe,
            Some(Body::Unsubscribe(_)) => Self::Unsubscribe,
            Some(Body::Hello(_)) | None => Self::Other,
        }
    }
}

/// Asked before each frame of one connection.
#[derive(Clone)]
pub struct Gate {
    limiter: Limiter,
    client: ClientIp,
    connection: u64,
}

impl Gate {
    /// A gate that `limiter` decides at. The connection comes from `client` and has a number that no
    /// other open one has.
    #[must_use]
    pub const fn new(limiter: Limiter, client: ClientIp, connection: u64) -> Self {
        Self {
            limiter,
            client,
            connection,
        }
    }

    /// Charges the user, if it is known by now, the connection and whoever else the rules say: one
    /// decision, all or nothing. What takes waiting comes back as a question.
    pub(super) fn ask(
        &self,
        identity: Option<&Identity>,
        kind: FrameKind,
    ) -> Result<Verdict, Question> {
        let verdict = self.limiter.try_check(&self.subject(identity), op(kind));
        verdict.ok_or_else(|| Question {
            gate: self.clone(),
            identity: identity.cloned(),
            kind,
        })
    }

    fn subject<'a>(&self, identity: Option<&'a Identity>) -> Subject<'a> {
        let subject = identity.map_or_else(Subject::new, Subject::identity);
        subject.client(self.client).connection(self.connection)
    }
}

fn op(kind: FrameKind) -> Op<'static> {
    Op::new(kind.name()).cost(kind.cost())
}

/// Whether a frame may pass, where that takes waiting: it has to be looked up first whether the user
/// has a quota of their own.
#[derive(Debug)]
pub struct Question {
    gate: Gate,
    identity: Option<Identity>,
    kind: FrameKind,
}

impl Question {
    /// The answer: charged once, if at all. It comes within the deadline of the store that is asked.
    pub async fn answer(self) -> Verdict {
        let Self {
            gate,
            identity,
            kind,
        } = self;
        let subject = gate.subject(identity.as_ref());
        gate.limiter.check(&subject, op(kind)).await
    }
}

/// Without the address.
impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}
