use std::error::Error as StdError;
use std::fmt;

use redis::{ErrorKind, RedisError};

use crate::degrade::Outcome;

/// Why a call has no answer. The kind tells whether it may have acted nevertheless.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Redis does not accept our credentials. It did nothing.
    #[error("redis does not accept the credentials")]
    Denied(#[source] Box<dyn StdError + Send + Sync>),

    /// This is not the address of a Redis. Does not show it, as it may hold a password.
    #[error("not the address of a redis: {0}")]
    Endpoint(&'static str),

    /// The connection was lost with the call in flight. It may have acted.
    #[error("the connection to redis was lost")]
    Lost(#[source] Box<dyn StdError + Send + Sync>),

    /// Redis answered with an error. A command did nothing; a script may have done what comes
    /// before its faulty line.
    #[error("redis answered with an error: {0}")]
    Response(ErrorReply),

    /// Redis did not answer within the deadline. It may have acted, or may still.
    #[error("redis did not answer in time")]
    TimedOut,

    /// Redis is down, and was not asked; or it says that it cannot work now. It did nothing.
    #[error("redis is not available")]
    Unavailable(#[source] Box<dyn StdError + Send + Sync>),

    /// Redis answered with something else than what the caller can read. It has acted.
    #[error("redis answered with something else than expected")]
    Unexpected,
}

/// An error that the server answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply {
    code: Box<str>,
    text: Box<str>,
}

impl ErrorReply {
    /// The first word, such as `WRONGTYPE`; `ERR` if it is nothing in particular.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The rest, without arguments that the server may have repeated.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn new(code: &str, text: &str) -> Self {
        // An unknown command is answered with what it began with: keys, values.
        let text = text.split("with args").next().unwrap_or_default();
        Self {
            code: code.into(),
            text: text.trim_end_matches([',', ' ']).into(),
        }
    }
}

impl fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

impl StdError for ErrorReply {}

/// Not asked, because the switch is down.
#[derive(Debug, thiserror::Error)]
#[error("it is down and was not asked")]
pub(super) struct Down;

/// An error with what it says about the server's health.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) outcome: Outcome,
    pub(super) error: Error,
}

impl Failed {
    /// Of a command that was handed to a connection.
    pub(super) fn in_flight(error: RedisError) -> Self {
        let (outcome, error) = match error.kind() {
            ErrorKind::Server(_) | ErrorKind::Extension => return Self::answered(&error),
            ErrorKind::AuthenticationFailed => (Outcome::Refused, Error::Denied(error.into())),
            ErrorKind::ClusterConnectionNotFound => {
                (Outcome::Refused, Error::Unavailable(error.into()))
            }
            ErrorKind::Client | ErrorKind::UnexpectedReturnType => {
                (Outcome::Answered, Error::Unexpected)
            }
            // Closed, reset, not understood: nothing can be concluded about the command.
            _ => (Outcome::Lost, Error::Lost(error.into())),
        };
        Self { outcome, error }
    }

    /// Of an attempt to connect: nothing was asked yet.
    pub(super) fn connecting(error: RedisError) -> Error {
        match Self::in_flight(error).error {
            Error::Lost(source) => Error::Unavailable(source),
            error => error,
        }
    }

    fn answered(error: &RedisError) -> Self {
        let text = error.detail().unwrap_or_default();
        let code = code_within(error.code().unwrap_or("ERR"), text);
        let reply = ErrorReply::new(code, text);
        let (outcome, error) = match code {
            "NOAUTH" | "WRONGPASS" => (Outcome::Refused, Error::Denied(reply.into())),
            // It is not able to write, and says so to a probe, too.
            "BUSY" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "MISCONF" | "NOREPLICAS"
            | "READONLY" => (Outcome::Refused, Error::Unavailable(reply.into())),
            // Whoever still gets these after a few redirections is amid a change of the cluster.
            "ASK" | "MOVED" => (Outcome::Refused, Error::Unavailable(reply.into())),
            // These depend on the command: a probe may pass, and calls fail fast without a switch.
            "OOM" | "TRYAGAIN" => (Outcome::Answered, Error::Unavailable(reply.into())),
            _ => (Outcome::Answered, Error::Response(reply)),
        };
        Self { outcome, error }
    }

    pub(super) fn is_unknown_script(&self) -> bool {
        matches!(&self.error, Error::Response(reply) if reply.code() == "NOSCRIPT")
    }
}

/// Before version 7, what a script's command failed with is told in the text of a plain error:
/// `Error running script (call to f_…): @user_script:1: -READONLY You can't write …`
fn code_within<'a>(code: &'a str, text: &'a str) -> &'a str {
    let code_of = |inner: &'a str| {
        let word = inner.split(' ').next().unwrap_or_default();
        let is_code = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
        is_code.then_some(word)
    };
    text.rsplit_once(": -")
        .filter(|(before, _)| code == "ERR" && before.contains("user_script"))
        .and_then(|(_, inner)| code_of(inner))
        .unwrap_or(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(line: &str) -> Failed {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes());
        let error = value.and_then(redis::Value::extract_error);
        Failed::in_flight(error.expect_err("an error"))
    }

    #[test]
    fn what_a_probe_can_see_throws_the_switch_and_nothing_else_does() {
        for line in [
            "READONLY You can't write against a read only replica.",
            "LOADING Redis is loading the dataset in memory",
            "CLUSTERDOWN The cluster is down",
            "MISCONF Redis is configured to save RDB snapshots",
            "NOREPLICAS Not enough good replicas to write.",
            "ERR Error running script (call to f_0): @user_script:1: @user_script: 1: -READONLY \
             You can't write against a read only replica.",
        ] {
            let failed = answered(line);
            assert_eq!(failed.outcome, Outcome::Refused, "{line}");
            assert!(matches!(failed.error, Error::Unavailable(_)), "{line}");
        }
        for line in ["OOM command not allowed", "TRYAGAIN Multiple keys request"] {
            let failed = answered(line);
            assert_eq!(failed.outcome, Outcome::Answered, "{line}");
            assert!(matches!(failed.error, Error::Unavailable(_)), "{line}");
        }
        for line in [
            "WRONGTYPE Operation against a key",
            "ERR syntax error",
            "NOPERM no",
        ] {
            let failed = answered(line);
            assert_eq!(failed.outcome, Outcome::Answered, "{line}");
            assert!(matches!(failed.error, Error::Response(_)), "{line}");
        }
        assert!(answered("NOSCRIPT No matching script.").is_unknown_script());
    }

    #[test]
    fn arguments_that_the_server_repeats_are_not_shown() {
        let failed = answered("ERR unknown command 'FROB', with args beginning with: 'hunter2' ");
        let shown = format!("{:?} {}", failed.error, failed.error);
        assert!(
            shown.contains("FROB") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
