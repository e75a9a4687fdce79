use std::time::Duration;

use http::StatusCode;

use super::answer::Fault;

/// The longest reason, in bytes.
const REASON: usize = 1_024;

/// For people to read.
pub(super) fn text(field: &str, text: String) -> Result<String, Fault> {
    if text.len() <= REASON && !text.chars().any(char::is_control) {
        return Ok(text);
    }
    Err(Fault::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        format!("`{field}` has at most 1,024 bytes, and no control characters"),
    ))
}

/// At least a second.
pub(super) fn lasting(field: &str, seconds: u64, longest: u64) -> Result<Duration, Fault> {
    if (1..=longest).contains(&seconds) {
        return Ok(Duration::from_secs(seconds));
    }
    Err(Fault::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        format!("`{field}` is from 1 to {longest}"),
    ))
}
