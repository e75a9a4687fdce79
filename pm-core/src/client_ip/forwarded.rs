//! Reading the two headers from the right, one hop at a time.
//!
//! The left part of a line may be the client's own text. Reading from the right keeps it from
//! having a say in how the right part is understood: an opening quote that the client sent cannot
//! swallow what a proxy appended.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::{FORWARDED, HeaderMap, HeaderName};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The hops that `X-Forwarded-For` names, nearest first; `None` is one that cannot be read.
pub(super) fn x_forwarded_for(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map(|hop| node(trimmed(hop)))
}

/// The hops that `Forwarded` (RFC 7239) names, nearest first; `None` is one that cannot be read.
pub(super) fn forwarded(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    headers
        .get_all(FORWARDED)
        .iter()
        .rev()
        .flat_map(|line| RightToLeft {
            rest: Some(line.as_bytes()),
            separator: b',',
        })
        .map(for_parameter)
}

/// The address in the one parameter `for` of a forwarded-element.
fn for_parameter(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    for pair in (RightToLeft {
        rest: Some(element),
        separator: b';',
    }) {
        let at = pair.iter().position(|byte| *byte == b'=');
        let Some((name, value)) = at.map(|at| (&pair[..at], &pair[at + 1..])) else {
            if trimmed(pair).is_empty() {
                continue;
            } else {
                return None;
            }
        };
        if trimmed(name).eq_ignore_ascii_case(b"for") && found.replace(trimmed(value)).is_some() {
            return None;
        }
    }
    let value = found?;
    let unquoted = match value {
        [b'"', quoted @ .., b'"'] => quoted,
        _ => value,
    };
    node(unquoted)
}

/// An address, with or without a port: `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:_p`. The word
/// `unknown`, an obfuscated name and everything else is no address.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?;
    let (addr, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (addr, port) = bracketed.split_once(']')?;
            // Only an IPv6 address stands in brackets.
            (addr.parse::<Ipv6Addr>().ok()?.into(), port)
        }
        None => match text.parse::<IpAddr>() {
            Ok(addr) => (addr, ""),
            Err(_) => {
                let (addr, _) = text.split_once(':')?;
                (addr.parse::<Ipv4Addr>().ok()?.into(), &text[addr.len()..])
            }
        },
    };
    is_port(port).then_some(addr)
}

/// Nothing, `:` and a port number, or `:_` and an obfuscated one (RFC 7239 §6.3).
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        None => text.is_empty(),
        Some(port) => match port.strip_prefix('_') {
            None => port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok(),
            Some(name) => {
                !name.is_empty()
                    && name.bytes().all(|byte| {
                        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
                    })
            }
        },
    }
}

fn trimmed(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|byte| !blank(byte))
        .map_or(start, |last| last + 1);
    &text[start..end]
}

/// The parts of a line between separators that stand outside quotes, last first.
struct RightToLeft<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Iterator for RightToLeft<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let mut quoted = false;
        for at in (0..rest.len()).rev() {
            match rest[at] {
                b'"' if !escaped(&rest[..at]) => quoted = !quoted,
                byte if byte == self.separator && !quoted => {
                    self.rest = Some(&rest[..at]);
                    return Some(&rest[at + 1..]);
                }
                _ => {}
            }
        }
        self.rest = None;
        Some(rest)
    }
}

fn escaped(before: &[u8]) -> bool {
    before
        .iter()
        .rev()
        .take_while(|byte| **byte == b'\\')
        .count()
        % 2
        == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nodes_are_addresses_with_or_without_a_port() {
        for (text, addr) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1:80", Some("192.0.2.1")),
            ("192.0.2.1:_gate-7", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("::ffff:192.0.2.1")),
            ("", None),
            ("unknown", None),
            ("_hidden", None),
            ("192.0.2", None),
            ("192.0.2.01", None),
            ("0xc0.0.2.1", None),
            ("3221225985", None),
            ("192.0.2.1:", None),
            ("192.0.2.1:65536", None),
            ("192.0.2.1:_", None),
            ("192.0.2.1 80", None),
            ("[192.0.2.1]:80", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]80", None),
            ("fe80::1%eth0", None),
            ("localhost", None),
        ] {
            let expected = addr.map(|addr| addr.parse::<IpAddr>().expect(addr));
            assert_eq!(node(text.as_bytes()), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_stands_to_the_left_has_no_say(left in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut line = left.clone();
            line.extend(b", for=\"192.0.2.1:80\";proto=http");
            let last = RightToLeft { rest: Some(&line), separator: b',' }.next();
            prop_assert_eq!(last.and_then(for_parameter), Some([192, 0, 2, 1].into()));
        }
    }
}
