use std::fmt;
use std::str::FromStr;

use http::{HeaderMap, HeaderValue};

use super::TRACEPARENT;

/// A caller's position in a distributed trace: the header `traceparent` of W3C Trace Context.
///
/// Parsed strictly, so that a value which is carried on is one that everybody downstream accepts:
/// lower-case hexadecimal only, no all-zero ids, no version `ff`. A version newer than `00` is read
/// as the specification demands (its first four fields) and carried on as version `00` with only
/// the flag that version `00` knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: u128,
    parent_id: u64,
    flags: u8,
}

/// The length of `00-<32>-<16>-<2>`, in bytes.
const LEN: usize = 55;

impl TraceParent {
    /// The one valid `traceparent` in `headers`; `None` if it is missing, invalid or repeated.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        parse(value.as_bytes())
    }

    /// The id of the whole trace, never zero.
    #[must_use]
    pub const fn trace_id(self) -> u128 {
        self.trace_id
    }

    /// The id of the caller's span, never zero.
    #[must_use]
    pub const fn parent_id(self) -> u64 {
        self.parent_id
    }

    /// Whether the caller may have recorded this trace.
    #[must_use]
    pub const fn sampled(self) -> bool {
        self.flags & 1 == 1
    }

    /// The header value, version `00`.
    #[must_use]
    pub fn to_header_value(self) -> HeaderValue {
        HeaderValue::try_from(self.to_string())
            .expect("hexadecimal digits and hyphens are visible ASCII")
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text.as_bytes()).ok_or(InvalidTraceParent(()))
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "00-{:032x}-{:016x}-{:02x}",
            self.trace_id, self.parent_id, self.flags
        )
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceParent({self})")
    }
}

/// The text is not a valid `traceparent` of W3C Trace Context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTraceParent(());

impl fmt::Display for InvalidTraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a traceparent reads 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, in lower case, with no id all zero")
    }
}

impl std::error::Error for InvalidTraceParent {}

fn parse(text: &[u8]) -> Option<TraceParent> {
    let (fields, rest) = text.split_at_checked(LEN)?;
    let version = hex(&fields[..2])?;
    let complete = match version {
        0 => rest.is_empty(),
        0xff => false,
        // A newer version may append fields, but only behind a separator.
        _ => rest.is_empty() || rest[0] == b'-',
    };
    let separated = [2, 35, 52].iter().all(|&at| fields[at] == b'-');
    if !complete || !separated {
        return None;
    }
    let trace_id = hex(&fields[3..35]).filter(|&id| id != 0)?;
    let parent_id = hex(&fields[36..52]).filter(|&id| id != 0)?;
    let flags = hex(&fields[53..])?;
    Some(TraceParent {
        trace_id,
        parent_id: u64::try_from(parent_id).ok()?,
        flags: u8::try_from(if version == 0 { flags } else { flags & 1 }).ok()?,
    })
}

/// Only lower case, as the specification demands; `from_str_radix` would also take `A` and `+`.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_one_is_carried_unchanged() {
        let parsed: TraceParent = VALID.parse().expect("the specification's example");
        assert_eq!(parsed.trace_id(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(parsed.parent_id(), 0x00f0_67aa_0ba9_02b7);
        assert!(parsed.sampled());
        assert_eq!(parsed.to_string(), VALID);
    }

    #[test]
    fn invalid_ones_are_dropped() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0z",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.x",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(
                text.parse::<TraceParent>(),
                Err(InvalidTraceParent(())),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_newer_version_is_read_and_carried_on_as_version_zero() {
        let newer =
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-what-the-future-brings";
        assert_eq!(
            newer
                .parse::<TraceParent>()
                .expect("a newer version")
                .to_string(),
            VALID
        );
    }

    #[test]
    fn two_of_them_are_none() {
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert!(TraceParent::from_headers(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(VALID));
        assert!(TraceParent::from_headers(&headers).is_none());
    }

    proptest! {
        #[test]
        fn text_in_is_text_out(trace in 1u128.., parent in 1u64.., flags: u8) {
            let text = format!("00-{trace:032x}-{parent:016x}-{flags:02x}");
            prop_assert_eq!(text.parse::<TraceParent>().expect("valid").to_string(), text);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
        }
    }
}
