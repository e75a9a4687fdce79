use std::{io, time::Duration};

use super::{Goodbye, Rejection, Visible};
use crate::r#gen as pb;

/// Why there is no connection, or none any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not one of a server.
    #[error(
        "{:?} is not the address of a server: {reason}; one looks like ws://127.0.0.1:7171/ws",
        url
    )]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nothing listens there.
    #[error("no server answers at {url}; start one with `cargo run -p pm-server`")]
    NotRunning {
        /// Where it was looked for.
        url: String,
        /// The refusal of the operating system.
        source: io::Error,
    },
    /// The way there is blocked.
    #[error("cannot reach {url}: {source}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// Something listens there and does not speak the protocol.
    #[error("{url} answers, but not like a pm server: {reason}; check the address and its path")]
    NotPm {
        /// Where it was looked for.
        url: String,
        /// What it did instead.
        reason: String,
    },
    /// The server takes no more clients for the moment.
    #[error("the server is busy and asks to come back later")]
    Busy {
        /// How much later, if it said so.
        retry_after: Option<Duration>,
    },
    /// The token is not one, has expired, or belongs to another tenant.
    #[error("the server does not accept the token: {reason}; `pm-server token` makes a new one")]
    BadToken {
        /// What the server says about it.
        reason: String,
    },
    /// The server has no such tenant.
    #[error("the server does not know the tenant {tenant:?}; check `--tenant`")]
    UnknownTenant {
        /// The tenant that was asked for.
        tenant: String,
    },
    /// Who this is may not do that.
    #[error("the server does not allow this: {reason}")]
    Forbidden {
        /// What the server says about it.
        reason: String,
    },
    /// The server refused a frame that everything after it depends on.
    #[error("the server refused: {0}")]
    Rejected(#[source] Rejection),
    /// The server ended the conversation, and said why.
    #[error("the server closed the connection ({code}): {}", Visible(.reason))]
    Closed {
        /// 44xx: do not come back unchanged. 45xx: come back.
        code: u16,
        /// What the server said.
        reason: String,
        /// How long it asks to stay away.
        retry_after: Option<Duration>,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(#[source] io::Error),
    /// The server did not answer, or its heartbeat stopped.
    #[error("nothing was heard from the server for {0:?}")]
    Silent(Duration),
    /// The server said something that makes no sense here: it is of another version, or no server.
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
    /// Events are missing: rev or `prev` `got` came where `expected` was due.
    #[error("rev {got} came where {expected} was due")]
    Incomplete {
        /// See [`Finding::Gap`](super::Finding::Gap).
        expected: u64,
        /// See [`Finding::Gap`](super::Finding::Gap).
        got: u64,
    },
    /// The frame is larger than the server takes. Nothing was sent.
    #[error("{bytes} bytes are too much for one change; the server takes at most {max}")]
    TooLarge {
        /// The size of the frame.
        bytes: usize,
        /// The server's limit.
        max: usize,
    },
}

impl Error {
    /// Whether the same may work later: coming back unchanged makes sense.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::NotRunning { .. }
            | Self::Unreachable { .. }
            | Self::Busy { .. }
            | Self::Lost(_)
            | Self::Silent(_)
            | Self::Incomplete { .. } => true,
            Self::Rejected(rejection) => rejection.is_temporary(),
            // Of the codes that WebSocket itself defines, those for a message that will be as
            // unwelcome the next time say to stay away.
            Self::Closed { code, .. } => !matches!(code, 4400..=4499 | 1002 | 1003 | 1007..=1010),
            Self::BadUrl { .. }
            | Self::NotPm { .. }
            | Self::BadToken { .. }
            | Self::UnknownTenant { .. }
            | Self::Forbidden { .. }
            | Self::Protocol(_)
            | Self::TooLarge { .. } => false,
        }
    }

    /// How long the server asks to stay away.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } | Self::Closed { retry_after, .. } => *retry_after,
            Self::Rejected(rejection) => rejection.retry_after(),
            _ => None,
        }
    }
}

/// A refusal of the one who asks is said in the words for that.
impl From<Rejection> for Error {
    fn from(rejection: Rejection) -> Self {
        match rejection.code() {
            pb::Code::Unauthenticated => Self::BadToken {
                reason: rejection.to_string(),
            },
            pb::Code::Forbidden => Self::Forbidden {
                reason: rejection.to_string(),
            },
            _ => Self::Rejected(rejection),
        }
    }
}

/// `4401` is said in the words for a token, whenever it comes: it is what the user can act on.
impl From<Goodbye> for Error {
    fn from(goodbye: Goodbye) -> Self {
        let Goodbye {
            code,
            reason,
            retry_after,
        } = goodbye;
        match code {
            4401 => Self::BadToken {
                reason: Visible(&reason).to_string(),
            },
            4403 => Self::Forbidden {
                reason: Visible(&reason).to_string(),
            },
            _ => Self::Closed {
                code,
                reason,
                retry_after,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goodbye(code: u16) -> Error {
        Error::from(Goodbye {
            code,
            reason: "because\u{7}".to_owned(),
            retry_after: Some(Duration::from_millis(1_500)),
        })
    }

    #[test]
    fn the_close_code_says_whether_to_come_back() {
        for code in [4400, 4401, 4403, 4426, 1002, 1009] {
            assert!(!goodbye(code).is_temporary(), "{code}");
        }
        for code in [4508, 4513, 4529, 1001, 1006, 1011, 1012, 1013] {
            assert!(goodbye(code).is_temporary(), "{code}");
            assert_eq!(
                goodbye(code).retry_after(),
                Some(Duration::from_millis(1_500))
            );
        }
    }

    #[test]
    fn messages_say_what_to_do_and_hold_no_control_characters() {
        assert_eq!(
            goodbye(4401).to_string(),
            "the server does not accept the token: because\\u{7}; `pm-server token` makes a new one"
        );
        assert_eq!(
            goodbye(4513).to_string(),
            "the server closed the connection (4513): because\\u{7}"
        );
        let refused = Error::NotRunning {
            url: "ws://127.0.0.1:1/ws".to_owned(),
            source: io::ErrorKind::ConnectionRefused.into(),
        };
        assert_eq!(
            refused.to_string(),
            "no server answers at ws://127.0.0.1:1/ws; start one with `cargo run -p pm-server`"
        );
    }
}
