//! The fields of the IETF draft `draft-ietf-httpapi-ratelimit-headers-11`: names and rendering.
//!
//! Both are Lists of RFC 9651 with one Item per policy: its name as a String, with parameters.
//!
//! * `RateLimit-Policy: "api";q=300;w=60`: `q` tokens come back in `w` seconds. A period that is
//!   not whole seconds is stated for the next whole number of seconds, rounded down.
//! * `RateLimit: "api";r=49;t=1`: `r` tokens can be spent now, rounded down. `t` is in seconds,
//!   rounded up: on a refusal the same as `Retry-After`, otherwise the time until the bucket is
//!   full.

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};
use pm_core::problem::retry_after_seconds;

use crate::{Outcome, PolicyName, Quota};

/// `RateLimit`
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// `RateLimit-Policy`
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

pub(crate) fn policy(name: &PolicyName, quota: &Quota) -> HeaderValue {
    let period = quota.period();
    let window = period.as_secs() + u64::from(period.subsec_nanos() > 0);
    let tokens = u128::from(quota.tokens()) * u128::from(window) * 1_000 / period.as_millis();
    let mut field = Field::new(name);
    field.parameter(";q=", tokens);
    field.parameter(";w=", window.into());
    field.finish()
}

pub(crate) fn rate_limit(name: &PolicyName, outcome: &Outcome) -> HeaderValue {
    let seconds = match outcome.retry_after() {
        Some(wait) => retry_after_seconds(wait),
        None => {
            let reset = outcome.reset_after();
            reset.as_secs() + u64::from(reset.subsec_nanos() > 0)
        }
    };
    let mut field = Field::new(name);
    field.parameter(";r=", outcome.remaining().into());
    field.parameter(";t=", seconds.into());
    field.finish()
}

/// Adds to what layers further in have said about policies of their own.
pub(crate) fn append(headers: &mut HeaderMap, policy: HeaderValue, rate_limit: HeaderValue) {
    headers.append(RATE_LIMIT_POLICY, policy);
    headers.append(RATE_LIMIT, rate_limit);
}

/// For an answer that was not made from a problem and does not say yet.
pub(crate) fn ensure_retry_after(headers: &mut HeaderMap, wait: std::time::Duration) {
    headers
        .entry(RETRY_AFTER)
        .or_insert_with(|| HeaderValue::from(retry_after_seconds(wait)));
}

/// An Item: the name as a String (RFC 9651 §4.1.6), then parameters.
struct Field(Vec<u8>);

impl Field {
    fn new(name: &PolicyName) -> Self {
        let name = name.as_str().as_bytes();
        let mut field = Vec::with_capacity(name.len() + 40);
        field.push(b'"');
        for byte in name {
            if matches!(byte, b'"' | b'\\') {
                field.push(b'\\');
            }
            field.push(*byte);
        }
        field.push(b'"');
        Self(field)
    }

    /// An Integer of at most 15 digits (RFC 9651 §3.3.1).
    fn parameter(&mut self, key: &str, value: u128) {
        let mut digits = [0; 15];
        let mut at = digits.len();
        let mut rest = u64::try_from(value)
            .unwrap_or(u64::MAX)
            .min(999_999_999_999_999);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(&digits[at..]);
    }

    fn finish(self) -> HeaderValue {
        HeaderValue::from_maybe_shared(bytes::Bytes::from(self.0))
            .expect("a policy name is printable ASCII, and so is the rest")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const API: PolicyName = PolicyName::from_static("api");

    #[test]
    fn the_policy_is_tokens_and_window() {
        for (quota, expected) in [
            (Quota::per_minute(300).burst(50), r#""api";q=300;w=60"#),
            (Quota::per_second(5), r#""api";q=5;w=1"#),
            (Quota::per_day(1), r#""api";q=1;w=86400"#),
            (
                Quota::new(10, Duration::from_millis(1500)),
                r#""api";q=13;w=2"#,
            ),
            (
                Quota::new(7, Duration::from_millis(100)),
                r#""api";q=70;w=1"#,
            ),
            (
                Quota::per_day(u32::MAX).burst(1),
                r#""api";q=4294967295;w=86400"#,
            ),
        ] {
            assert_eq!(policy(&API, &quota), expected);
        }
    }

    #[test]
    fn names_are_escaped_as_structured_field_strings() {
        let name = PolicyName::from_static(r#"a "b" \c"#);
        assert_eq!(
            policy(&name, &Quota::per_second(1)),
            r#""a \"b\" \\c";q=1;w=1"#
        );
    }

    #[test]
    fn seconds_are_rounded_up() {
        const SECOND: u64 = 1_000_000_000;
        for (outcome, expected) in [
            (Outcome::fits(49, 0), r#""api";r=49;t=0"#),
            (Outcome::fits(49, 1), r#""api";r=49;t=1"#),
            (Outcome::fits(0, SECOND), r#""api";r=0;t=1"#),
            (
                Outcome::waits(0, 10 * SECOND, SECOND + 1),
                r#""api";r=0;t=2"#,
            ),
            (Outcome::waits(3, 10 * SECOND, 1), r#""api";r=3;t=1"#),
            (Outcome::never(5, 0), r#""api";r=5;t=0"#),
            (
                Outcome::fits(u32::MAX, u64::MAX),
                r#""api";r=4294967295;t=18446744074"#,
            ),
        ] {
            assert_eq!(rate_limit(&API, &outcome), expected);
        }
    }
}
