use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};

/// `x-timeout-ms`: how many milliseconds the caller still waits.
pub const X_TIMEOUT_MS: HeaderName = HeaderName::from_static("x-timeout-ms");

/// `grpc-timeout`: how long the caller still waits, as gRPC's protocol over HTTP/2 writes it.
pub const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Digits of either header, and the largest number that they hold.
const DIGITS: usize = 8;
const LARGEST: u128 = 99_999_999;

/// The units of `grpc-timeout`, with their nanoseconds, the finest first.
const UNITS: [(char, u64); 6] = [
    ('n', 1),
    ('u', 1_000),
    ('m', 1_000_000),
    ('S', 1_000_000_000),
    ('M', 60_000_000_000),
    ('H', 3_600_000_000_000),
];

/// What the caller still waits, if it said so in the form that belongs to the request.
pub(super) fn read(headers: &HeaderMap) -> Option<Duration> {
    if is_grpc(headers) {
        let text = only(headers, &GRPC_TIMEOUT)?;
        let unit = text.chars().last()?;
        let (_, nanos) = UNITS.iter().find(|(known, _)| *known == unit)?;
        let count = number(&text[..text.len() - unit.len_utf8()])?;
        Some(Duration::from_nanos(nanos.saturating_mul(count)))
    } else {
        number(only(headers, &X_TIMEOUT_MS)?).map(Duration::from_millis)
    }
}

/// Says how long this side still waits, rounded down: whoever is called is to give up first. What is
/// said already stays if it is no longer than that.
pub(crate) fn write(headers: &mut HeaderMap, remaining: Duration) {
    if read(headers).is_some_and(|said| said <= remaining) {
        return;
    }
    let nanos = remaining.as_nanos();
    if is_grpc(headers) {
        let fits = |(_, unit): &&(char, u64)| nanos / u128::from(*unit) <= LARGEST;
        let (name, unit) = UNITS.iter().find(fits).unwrap_or(&UNITS[5]);
        let count = (nanos / u128::from(*unit)).min(LARGEST);
        headers.insert(GRPC_TIMEOUT, value(&format!("{count}{name}")));
    } else {
        let millis = remaining.as_millis().min(LARGEST);
        headers.insert(X_TIMEOUT_MS, value(&millis.to_string()));
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and a letter")
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.to_str().ok())?
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && text.len() <= DIGITS).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(grpc: bool, values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if grpc {
            headers.insert(CONTENT_TYPE, value("application/grpc+proto"));
        }
        let name = if grpc { GRPC_TIMEOUT } else { X_TIMEOUT_MS };
        for value in values {
            let value = HeaderValue::from_bytes(value).expect("a header value");
            headers.append(name.clone(), value);
        }
        headers
    }

    #[test]
    fn only_the_form_that_is_written_down_is_read() {
        let millis = |millis| Some(Duration::from_millis(millis));
        for (grpc, text, expected) in [
            (false, "250", millis(250)),
            (false, "0", millis(0)),
            (false, "99999999", millis(99_999_999)),
            (false, "100000000", None),
            (false, "-1", None),
            (false, "+1", None),
            (false, "1.5", None),
            (false, "1e3", None),
            (false, "250m", None),
            (false, "", None),
            (false, "\u{0662}", None),
            (true, "250m", millis(250)),
            (true, "3S", millis(3_000)),
            (true, "2M", millis(120_000)),
            (true, "1H", millis(3_600_000)),
            (true, "5000u", millis(5)),
            (true, "99999999H", Some(Duration::from_nanos(u64::MAX))),
            (true, "100000000n", None),
            (true, "250", None),
            (true, "m", None),
            (true, "3s", None),
            (true, "-3S", None),
            (true, "3\u{fc}", None),
        ] {
            let headers = request(grpc, &[text.as_bytes()]);
            assert_eq!(read(&headers), expected, "{text:?}");
        }
        assert_eq!(read(&request(false, &[b"1", b"1"])), None, "twice");
        assert_eq!(read(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn nothing_that_a_client_sends_panics(grpc: bool, text in "[ -~\u{80}-\u{ff}]{0,12}") {
            let read = read(&request(grpc, &[text.as_bytes()]));
            prop_assert!(read.is_none() || text.len() <= DIGITS + 1);
        }

        #[test]
        fn what_is_written_is_read_as_no_more(grpc: bool, nanos: u64) {
            let remaining = Duration::from_nanos(nanos);
            let mut headers = request(grpc, &[]);
            write(&mut headers, remaining);
            let read = read(&headers).expect("what was written");
            prop_assert!(read <= remaining);
            if remaining < Duration::from_secs(99_999) {
                // A millisecond, or one part in a million.
                prop_assert!(remaining - read <= Duration::from_millis(1).max(remaining / 1_000_000));
            }
        }
    }
}
