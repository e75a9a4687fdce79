use std::time::Duration;

use super::{Drain, Guard, Kind, Phase};

/// An open socket; made by [`Drain::socket`]. It is waited for until this is dropped.
#[derive(Debug)]
#[must_use = "the socket has ended when it is dropped"]
pub struct Socket {
    guard: Guard,
    drain: Drain,
}

/// What a socket is told that is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leave {
    /// How long the client should wait before it comes back, drawn at random for each: if all came
    /// at once, they would fall over whoever takes over.
    ///
    /// A client that cannot be told when to come back is rather closed after this time than at
    /// once, as far as the draining lasts.
    pub come_back_after: Duration,
}

impl Socket {
    pub(super) fn new(drain: Drain) -> Self {
        Self {
            guard: drain.hold(Kind::Socket),
            drain,
        }
    }

    /// Waits until the socket is to be closed: with the code 1001 (going away, RFC 6455 §7.4.1), or
    /// one of its own protocol. Cancel-safe.
    pub async fn leave(&self) -> Leave {
        self.drain.reached(Phase::Draining).await;
        let within = self.drain.settings().come_back_within;
        Leave {
            come_back_after: within.mul_f64(fastrand::f64()),
        }
    }

    /// Waits until there is no more time for a conversation. Cancel-safe.
    pub async fn cancelled(&self) {
        self.drain.reached(Phase::Cancelling).await;
    }

    /// The guard alone.
    pub fn into_guard(self) -> Guard {
        self.guard
    }
}
