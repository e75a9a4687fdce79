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
    ///
    /// The store of the limiter must be able to decide without waiting, as the one in memory is: what
    /// would have to be waited for is let through.
    #[must_use]
    pub const fn new(limiter: Limiter, client: ClientIp, connection: u64) -> Self {
        Self {
            limiter,
            client,
            connection,
        }
    }

    /// Charges the user, if it is known by now, the connection and whoever else the rules say: one
    /// decision, all or nothing.
    pub(super) fn ask(&self, identity: Option<&Identity>, kind: FrameKind) -> Option<Verdict> {
        let subject = identity.map_or_else(Subject::new, Subject::identity);
        let subject = subject.client(self.client).connection(self.connection);
        let op = Op::new(kind.name()).cost(kind.cost());
        self.limiter.try_check(&subject, op)
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
