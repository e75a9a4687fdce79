use std::time::Duration;

/// Why the server ends a socket. 44xx: do not come back unchanged. 45xx: come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// A message was larger than it may be: RFC 6455's own code. Do not come back unchanged.
    TooLarge = 1009,
    /// What was sent is not the protocol.
    Protocol = 4400,
    /// No token, a bad one, or one that has expired.
    Token = 4401,
    /// The token is good for something else, or the address is kept out.
    Forbidden = 4403,
    /// Too slow: to say hello, to answer a ping, or to read.
    Slow = 4508,
    /// The tenant cannot be served now.
    Unavailable = 4510,
    /// The server is going down.
    Draining = 4513,
    /// Too much.
    Rate = 4529,
}

impl CloseCode {
    /// The number in the close frame.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }
}

/// The end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The code.
    pub code: CloseCode,
    /// In words; at most 123 bytes reach the close frame.
    pub reason: &'static str,
    /// When to come back; zero with a 44xx code.
    pub retry_after: Duration,
}

impl Close {
    /// An end after which the client should not come back unchanged.
    #[must_use]
    pub const fn for_good(code: CloseCode, reason: &'static str) -> Self {
        Self {
            code,
            reason,
            retry_after: Duration::ZERO,
        }
    }

    /// An end after which the client should come back.
    #[must_use]
    pub const fn for_now(code: CloseCode, reason: &'static str, retry_after: Duration) -> Self {
        Self {
            code,
            reason,
            retry_after,
        }
    }
}
