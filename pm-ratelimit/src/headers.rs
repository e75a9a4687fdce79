//! What answers say about limits: names and rendering.
//!
//! The fields of the IETF draft `draft-ietf-httpapi-ratelimit-headers` are Lists of RFC 9651 with one
//! Item per policy: its name as a String, with parameters.
//!
//! * `RateLimit-Policy: "api";q=300;w=60`: `q` tokens come back in `w` seconds. A period that is
//!   not whole seconds is stated for the next whole number of seconds, rounded down.
//! * `RateLimit: "api";r=49;t=1`: `r` tokens can be spent now, rounded down. `t` is in seconds,
//!   rounded up: on a refusal the same as `Retry-After`, otherwise the time until the bucket is
//!   full.
//!
//! The older `X-RateLimit-*` fields have one number each and no standard. Ours are about the policy
//! that leaves the least: `-Limit` is its burst, `-Remaining` whole tokens that are left, `-Reset` the
//! same as `t`, in seconds from now. `X-RateLimit-User-*` are the same for policies by user.

use arrayvec::ArrayVec;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};
use pm_core::problem::retry_after_seconds;

use crate::ruling::{Part, Ruling};
use crate::{By, Charges, Outcome, PolicyName, Quota};

/// `RateLimit`
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// `RateLimit-Policy`
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`
pub const X_RATE_LIMIT: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit"),
    HeaderName::from_static("x-ratelimit-remaining"),
    HeaderName::from_static("x-ratelimit-reset"),
];

/// `X-RateLimit-User-Limit`, `X-RateLimit-User-Remaining` and `X-RateLimit-User-Reset`
pub const X_RATE_LIMIT_USER: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-user-limit"),
    HeaderName::from_static("x-ratelimit-user-remaining"),
    HeaderName::from_static("x-ratelimit-user-reset"),
];

/// Which fields answers carry. By default `RateLimit` and `RateLimit-Policy`.
///
/// ```
/// use pm_ratelimit::headers::{Headers, Revision};
///
/// let headers = Headers::of(Revision::Draft11).with_x_rate_limit();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Headers {
    revision: Option<Revision>,
    x_rate_limit: bool,
    x_rate_limit_user: bool,
}

/// A revision of the IETF draft.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Revision {
    /// `draft-ietf-httpapi-ratelimit-headers-11` of May 2026, on the wire the same as -08 to -10.
    #[default]
    Draft11,
}

impl Headers {
    /// `RateLimit` and `RateLimit-Policy` as in this revision.
    pub const fn of(revision: Revision) -> Self {
        Self {
            revision: Some(revision),
            ..Self::none()
        }
    }

    /// None at all, except `Retry-After`.
    pub const fn none() -> Self {
        Self {
            revision: None,
            x_rate_limit: false,
            x_rate_limit_user: false,
        }
    }

    /// Also [`X_RATE_LIMIT`].
    pub const fn with_x_rate_limit(mut self) -> Self {
        self.x_rate_limit = true;
        self
    }

    /// Also [`X_RATE_LIMIT_USER`], where a policy by user applies.
    pub const fn with_x_rate_limit_user(mut self) -> Self {
        self.x_rate_limit_user = true;
        self
    }

    /// What an answer says about this ruling.
    #[inline]
    pub(crate) fn fields(&self, ruling: &Ruling<'_>) -> Fields {
        let by_user = || ruling.parts().filter(|part| part.rule.by == By::User);
        Fields {
            lists: self.revision.and_then(|_| lists(ruling)),
            x_rate_limit: (self.x_rate_limit)
                .then(|| tightest(ruling.parts()))
                .flatten(),
            x_rate_limit_user: (self.x_rate_limit_user)
                .then(|| tightest(by_user()))
                .flatten(),
        }
    }
}

/// What an answer is going to say. It is made when the request is decided on, since it is smaller than
/// what it is made from.
#[derive(Debug)]
pub(crate) struct Fields {
    /// `RateLimit-Policy` and `RateLimit`.
    lists: Option<(HeaderValue, HeaderValue)>,
    x_rate_limit: Option<Numbers>,
    x_rate_limit_user: Option<Numbers>,
}

/// Of the policy that leaves the least.
#[derive(Debug)]
struct Numbers {
    limit: u32,
    remaining: u32,
    reset: u64,
}

impl Fields {
    /// Adds to what layers further in have said about policies of their own. An `X-` field of theirs
    /// stays if it leaves less.
    #[inline]
    pub(crate) fn write(&mut self, headers: &mut HeaderMap) {
        if let Some((policies, limits)) = self.lists.take() {
            headers.append(RATE_LIMIT_POLICY, policies);
            headers.append(RATE_LIMIT, limits);
        }
        if let Some(numbers) = &self.x_rate_limit {
            numbers.write(&X_RATE_LIMIT, headers);
        }
        if let Some(numbers) = &self.x_rate_limit_user {
            numbers.write(&X_RATE_LIMIT_USER, headers);
        }
    }
}

impl Numbers {
    fn write(&self, names: &[HeaderName; 3], headers: &mut HeaderMap) {
        let [limit, remaining, reset] = names;
        let stricter = headers
            .get(remaining)
            .and_then(|value| value.to_str().ok()?.parse::<u32>().ok())
            .is_some_and(|further_in| further_in < self.remaining);
        if !stricter {
            headers.insert(limit, HeaderValue::from(self.limit));
            headers.insert(remaining, HeaderValue::from(self.remaining));
            headers.insert(reset, HeaderValue::from(self.reset));
        }
    }
}

impl Default for Headers {
    fn default() -> Self {
        Self::of(Revision::default())
    }
}

fn lists(ruling: &Ruling<'_>) -> Option<(HeaderValue, HeaderValue)> {
    let mut parts = ruling.parts();
    let (first, second) = (parts.next()?, parts.next());
    let policies = if second.is_none() && *first.quota == first.rule.quota {
        first.rule.policy.clone()
    } else {
        let mut policies = Field::new();
        for part in ruling.parts() {
            policies.policy(&part.rule.name, part.quota);
        }
        policies.finish()
    };
    let mut limits = Field::new();
    for part in ruling.parts() {
        limits.limit(&part.rule.name, part.outcome);
    }
    Some((policies, limits.finish()))
}

fn tightest<'a>(parts: impl Iterator<Item = Part<'a>>) -> Option<Numbers> {
    let Part { quota, outcome, .. } =
        parts.min_by_key(|part| (part.outcome.remaining(), u64::MAX - seconds(part.outcome)))?;
    Some(Numbers {
        limit: quota.capacity(),
        remaining: outcome.remaining(),
        reset: seconds(outcome),
    })
}

/// Until it fits, or else until the bucket is full; rounded up.
fn seconds(outcome: &Outcome) -> u64 {
    match outcome.retry_after() {
        Some(wait) => retry_after_seconds(wait),
        None => {
            let reset = outcome.reset_after();
            reset.as_secs() + u64::from(reset.subsec_nanos() > 0)
        }
    }
}

/// `RateLimit-Policy` for one policy.
pub(crate) fn policy(name: &PolicyName, quota: &Quota) -> HeaderValue {
    let mut field = Field::new();
    field.policy(name, quota);
    field.finish()
}

/// `RateLimit-Policy` for so many requests at the same time.
pub(crate) fn concurrency(name: &PolicyName, limit: u32) -> HeaderValue {
    let mut field = Field::new();
    field.item(name);
    field.parameter(";q=", limit.into());
    field.write(b";qu=\"concurrent-requests\"");
    field.finish()
}

/// For an answer that was not made from a problem and does not say yet.
pub(crate) fn ensure_retry_after(headers: &mut HeaderMap, wait: std::time::Duration) {
    headers
        .entry(RETRY_AFTER)
        .or_insert_with(|| HeaderValue::from(retry_after_seconds(wait)));
}

/// A List of Items (RFC 9651 §4.1.1), each a String with parameters. It is put together in place, so
/// that the value, of a length that is known then, is one allocation.
struct Field(ArrayVec<u8, LONGEST>);

/// A name of which every byte is escaped, two parameters with fifteen digits each, and what holds
/// them together, as often as there may be policies.
const LONGEST: usize = Charges::MAX * (2 * PolicyName::LONGEST + 64);

impl Field {
    fn new() -> Self {
        Self(ArrayVec::new())
    }

    fn policy(&mut self, name: &PolicyName, quota: &Quota) {
        let period = quota.period();
        let window = period.as_secs() + u64::from(period.subsec_nanos() > 0);
        let tokens = u128::from(quota.tokens()) * u128::from(window) * 1_000 / period.as_millis();
        self.item(name);
        self.parameter(";q=", tokens);
        self.parameter(";w=", window.into());
    }

    fn limit(&mut self, name: &PolicyName, outcome: &Outcome) {
        self.item(name);
        self.parameter(";r=", outcome.remaining().into());
        self.parameter(";t=", seconds(outcome).into());
    }

    /// The name as a String (RFC 9651 §4.1.6).
    fn item(&mut self, name: &PolicyName) {
        if !self.0.is_empty() {
            self.write(b", ");
        }
        self.write(b"\"");
        let mut rest = name.as_str().as_bytes();
        let special = |byte: &u8| matches!(byte, b'"' | b'\\');
        while let Some(at) = rest.iter().position(special) {
            self.write(&rest[..at]);
            self.write(&[b'\\', rest[at]]);
            rest = &rest[at + 1..];
        }
        self.write(rest);
        self.write(b"\"");
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
        self.write(key.as_bytes());
        self.write(&digits[at..]);
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        (self.0.try_extend_from_slice(bytes)).expect("there is room for the longest there may be");
    }

    fn finish(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0)
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
            let mut field = Field::new();
            field.limit(&API, &outcome);
            assert_eq!(field.finish(), expected);
        }
    }
}
