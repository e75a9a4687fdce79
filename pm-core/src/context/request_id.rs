use std::fmt;
use std::str::FromStr;

use http::{HeaderMap, HeaderValue};

use super::X_REQUEST_ID;
use crate::Clock;

/// The longest id that is taken over from a caller, in bytes.
const MAX_LEN: usize = 128;

/// Names one request, in answers, problems, logs and calls to others.
///
/// Either what the caller sent in `x-request-id`, if that is 1–128 characters of
/// `A-Z a-z 0-9 . _ ~ : / + = @ -`, or a new version 7 UUID. Nothing in that alphabet can end a
/// log line, a header or a JSON string. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// A new id: a version 7 UUID (RFC 9562) with the time of `clock`.
    #[must_use]
    pub fn new(clock: &Clock) -> Self {
        let id = clock.uuid_v7_bits();
        let text = format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            id >> 96,
            id >> 80 & 0xffff,
            id >> 64 & 0xffff,
            id >> 48 & 0xffff,
            id & 0xffff_ffff_ffff
        );
        Self(HeaderValue::try_from(text).expect("hexadecimal digits and hyphens are visible ASCII"))
    }

    /// The caller's id: `None` if there is none, if it is not acceptable, or if there are several.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(X_REQUEST_ID).iter();
        let value = values.next()?;
        (values.next().is_none() && is_acceptable(value.as_bytes())).then(|| Self(value.clone()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().expect("only visible ASCII is let in")
    }

    /// The id as a header value, without copying it.
    #[must_use]
    pub fn to_header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl FromStr for RequestId {
    type Err = InvalidRequestId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !is_acceptable(text.as_bytes()) {
            return Err(InvalidRequestId(()));
        }
        HeaderValue::from_str(text)
            .map(Self)
            .map_err(|_| InvalidRequestId(()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({})", self.as_str())
    }
}

/// The text is not a request id: write 1–128 characters of `A-Z a-z 0-9 . _ ~ : / + = @ -`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidRequestId(());

impl fmt::Display for InvalidRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request id is 1 to 128 characters of A-Z a-z 0-9 . _ ~ : / + = @ -")
    }
}

impl std::error::Error for InvalidRequestId {}

fn is_acceptable(id: &[u8]) -> bool {
    (1..=MAX_LEN).contains(&id.len())
        && id.iter().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'.' | b'_' | b'~' | b':' | b'/' | b'+' | b'=' | b'@' | b'-'
                )
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn from_header(value: &[u8]) -> Option<RequestId> {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(value).ok()?);
        RequestId::from_headers(&headers)
    }

    #[test]
    fn ids_of_the_safe_alphabet_are_kept_as_they_are() {
        let longest = "x".repeat(128);
        for id in [
            "a",
            "7f3c-01",
            "Root=1-67891233-abcdef012345678912345678",
            &longest,
        ] {
            assert_eq!(from_header(id.as_bytes()).expect(id).as_str(), id);
        }
    }

    #[test]
    fn everything_else_is_dropped() {
        let too_long = "x".repeat(129);
        for id in [
            "", " ", "a b", "a\tb", "a,b", "a;b", "\"a\"", "<script>", "a%0ab", &too_long,
        ] {
            assert_eq!(from_header(id.as_bytes()), None, "{id:?}");
        }
        assert_eq!(from_header("é".as_bytes()), None);
        assert_eq!(from_header(&[0xff]), None);
    }

    #[test]
    fn two_ids_are_no_id() {
        let mut headers = HeaderMap::new();
        headers.append(X_REQUEST_ID, HeaderValue::from_static("one"));
        headers.append(X_REQUEST_ID, HeaderValue::from_static("two"));
        assert_eq!(RequestId::from_headers(&headers), None);
    }

    #[test]
    fn a_new_id_is_a_version_7_uuid_of_the_clocks_time() {
        let (clock, _time) = Clock::manual();
        let id = RequestId::new(&clock);
        // 2026-01-01T00:00:00Z is 0x019b76da_a800 milliseconds after the epoch.
        assert!(id.as_str().starts_with("019b76da-a800-7000-"), "{id}");
        assert_eq!(id.as_str().len(), 36);
        assert_ne!(id, RequestId::new(&clock));
    }

    proptest! {
        #[test]
        fn whatever_is_kept_is_safe_to_print(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(id) = from_header(&bytes) {
                prop_assert!(id.as_str().len() <= 128);
                prop_assert!(id.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(!id.as_str().contains(['"', '\\', '<', '>', ',', ';']));
                prop_assert_eq!(id.as_str().parse::<RequestId>(), Ok(id.clone()));
            }
        }
    }
}
