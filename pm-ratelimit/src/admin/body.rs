use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use bytes::Buf;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body::Body;
use pm_core::Clock;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::answer::Fault;
use crate::observer::cut;

/// The longest body, in bytes.
const MOST: usize = 64 * 1024;

/// How long it may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest reason that is repeated to the client, in bytes.
const SHOWN: usize = 256;

/// What a request says in JSON.
pub(super) async fn read<T, B>(headers: &HeaderMap, body: B, clock: &Clock) -> Result<T, Fault>
where
    T: DeserializeOwned,
    B: Body,
{
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("application/json") {
        return Err(Fault::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "write it in JSON: Content-Type: application/json",
        ));
    }
    let bytes = clock.within(PATIENCE, collect(body)).await;
    let bytes = bytes.map_err(|_| {
        Fault::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not arrive within ten seconds",
        )
    })??;
    serde_json::from_slice(&bytes).map_err(|error| {
        let status = match error.classify() {
            Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
            Category::Eof | Category::Io | Category::Syntax => StatusCode::BAD_REQUEST,
        };
        Fault::new(status, cut(&error.to_string(), SHOWN))
    })
}

async fn collect<B: Body>(body: B) -> Result<Vec<u8>, Fault> {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let broken = |_| Fault::new(StatusCode::BAD_REQUEST, "the body broke off");
        // Trailers say nothing.
        if let Ok(mut data) = frame.map_err(broken)?.into_data() {
            if bytes.len() + data.remaining() > MOST {
                return Err(Fault::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "a body has at most 65,536 bytes",
                ));
            }
            while data.has_remaining() {
                let chunk = data.chunk();
                bytes.extend_from_slice(chunk);
                let read = chunk.len();
                data.advance(read);
            }
        }
    }
    Ok(bytes)
}
