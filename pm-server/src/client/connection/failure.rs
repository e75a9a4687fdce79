//! What went wrong, in the words of the client.

use std::{io, time::Duration};

use http::{StatusCode, header::RETRY_AFTER};
use tokio_tungstenite::tungstenite::{Error as WsError, error::ProtocolError};

use crate::{
    client::{Error, Options, Rejection, Visible},
    r#gen as pb,
};

/// The socket failed.
pub(super) fn lost(error: WsError) -> Error {
    match error {
        WsError::Io(source) => Error::Lost(source),
        WsError::Capacity(_) => Error::Protocol("a message that is too large"),
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Error::Lost(io::ErrorKind::ConnectionReset.into())
        }
        WsError::Protocol(_) | WsError::Utf8(_) | WsError::AttackAttempt => {
            Error::Protocol("bytes that are no WebSocket frame")
        }
        other => Error::Lost(io::Error::other(other)),
    }
}

/// The upgrade failed.
pub(super) fn not_upgraded(error: WsError, options: &Options) -> Error {
    let url = options.shown_url();
    let WsError::Http(response) = error else {
        return match error {
            WsError::Io(source) => Error::Lost(source),
            WsError::Protocol(ProtocolError::HandshakeIncomplete) => {
                Error::Lost(io::ErrorKind::UnexpectedEof.into())
            }
            other => Error::NotPm {
                url,
                reason: other.to_string(),
            },
        };
    };
    let status = response.status();
    let reason = format!("it refused the upgrade with HTTP status {status}");
    match status {
        StatusCode::UNAUTHORIZED => Error::BadToken { reason },
        StatusCode::FORBIDDEN => Error::Forbidden { reason },
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let seconds = response.headers().get(RETRY_AFTER);
            let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
            Error::Busy {
                retry_after: seconds.map(Duration::from_secs),
            }
        }
        _ => Error::NotPm { url, reason },
    }
}

/// The server answered hello with an error.
pub(super) fn not_welcome(rejection: Rejection, options: &Options) -> Error {
    match rejection.code() {
        pb::Code::UnknownTenant => Error::UnknownTenant {
            tenant: Visible(&options.tenant).to_string(),
        },
        _ => rejection.into(),
    }
}
