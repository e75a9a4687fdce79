//! Which pages may open a socket.

use std::{fmt, str::FromStr};

use http::{
    HeaderMap, Uri,
    header::{HOST, ORIGIN},
    uri::Authority,
};

/// Where a page comes from (RFC 6454): a scheme, a host and a port.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Box<str>,
    host: Box<str>,
    port: u16,
}

/// The text is not the origin of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an origin is a scheme and a host, and a port unless it is the usual one: https://pm.example"
)]
pub struct InvalidOrigin(());

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let origin = Self::parse(text);
        // A URI makes no difference between no path and the path `/`; an origin has none.
        origin
            .filter(|_| !text.ends_with('/'))
            .ok_or(InvalidOrigin(()))
    }
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let usual = usual_port(&scheme)?;
        let authority = uri.authority()?;
        let plain = uri.path_and_query().is_none_or(|path| path == "/");
        if !plain || authority.as_str().contains('@') {
            return None;
        }
        Some(Self {
            host: authority.host().to_ascii_lowercase().into(),
            port: port(authority, usual)?,
            scheme: scheme.into(),
        })
    }

    /// Whether a request to `host` goes back to where the page came from. A proxy in front may have
    /// ended TLS, so the scheme does not count, only what is usual for it.
    fn is_at(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        let usual = usual_port(&self.scheme);
        !host.contains('@')
            && authority.host().eq_ignore_ascii_case(&self.host)
            && usual.and_then(|usual| port(&authority, usual)) == Some(self.port)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if usual_port(&self.scheme) != Some(self.port) {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether an upgrade request with these headers may go on.
///
/// Browsers send the origin of the page with every upgrade and apply no other rule to it, so this is
/// what keeps foreign pages out. Programs send none and are let in: they could send any. The
/// server's own pages are let in, and those of the `others`.
#[must_use]
pub fn allowed(headers: &HeaderMap, others: &[Origin]) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return true;
    };
    let origin = origin.to_str().ok().and_then(|text| text.parse().ok());
    let Some(origin) = origin.filter(|_| origins.next().is_none()) else {
        // `null` is here, too: a page that hides where it comes from.
        return false;
    };
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let own = |host: &str| hosts.next().is_none() && Origin::is_at(&origin, host);
    others.contains(&origin) || host.is_some_and(own)
}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// `None` if what stands behind the colon is no port.
fn port(authority: &Authority, usual: u16) -> Option<u16> {
    let text = authority.as_str();
    let has_port = text
        .rsplit_once(':')
        .is_some_and(|(_, rest)| !rest.ends_with(']'));
    if has_port {
        authority.port_u16()
    } else {
        Some(usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(origins: &[&str], host: &str, others: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        for origin in origins {
            headers.append(ORIGIN, origin.parse().unwrap());
        }
        let others: Vec<Origin> = others.iter().map(|other| other.parse().unwrap()).collect();
        allowed(&headers, &others)
    }

    #[test]
    fn a_program_sends_no_origin_and_is_let_in() {
        assert!(ask(&[], "127.0.0.1:7171", &[]));
    }

    #[test]
    fn the_servers_own_pages_are_let_in() {
        for (origin, host) in [
            ("http://127.0.0.1:7171", "127.0.0.1:7171"),
            ("http://localhost:7171", "LocalHost:7171"),
            ("http://[::1]:7171", "[::1]:7171"),
            ("http://pm.example", "pm.example"),
            ("http://pm.example:80", "pm.example"),
            ("http://pm.example", "pm.example:80"),
            ("https://pm.example", "pm.example"),
            ("https://pm.example", "pm.example:443"),
            ("HTTPS://PM.example", "pm.example"),
        ] {
            assert!(ask(&[origin], host, &[]), "{origin} {host}");
        }
    }

    #[test]
    fn foreign_pages_are_kept_out() {
        for (origin, host) in [
            ("http://evil.example", "pm.example"),
            ("http://pm.example.evil.example", "pm.example"),
            ("http://evilpm.example", "pm.example"),
            ("http://127.0.0.1:7172", "127.0.0.1:7171"),
            ("http://localhost:7171", "127.0.0.1:7171"),
            ("http://pm.example", "pm.example:443"),
            ("https://pm.example:80", "pm.example"),
            ("http://pm.example@evil.example", "pm.example"),
            ("http://pm.example/", "pm.example"),
            ("http://pm.example/page", "pm.example"),
            ("ftp://pm.example", "pm.example"),
            ("file://pm.example", "pm.example"),
            ("pm.example", "pm.example"),
            ("null", "pm.example"),
            ("null", "null"),
            ("", "pm.example"),
            ("http://pm.example:99999", "pm.example"),
            ("http://pm.example", "evil@pm.example"),
            ("http://pm.example", "pm.example:x"),
        ] {
            assert!(!ask(&[origin], host, &[]), "{origin} {host}");
        }
    }

    #[test]
    fn two_origins_or_two_hosts_are_none() {
        assert!(!ask(
            &["http://pm.example", "http://pm.example"],
            "pm.example",
            &[]
        ));
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, "http://pm.example".parse().unwrap());
        assert!(!allowed(&headers, &[]), "no host");
        headers.append(HOST, "pm.example".parse().unwrap());
        assert!(allowed(&headers, &[]));
        headers.append(HOST, "evil.example".parse().unwrap());
        assert!(!allowed(&headers, &[]));
    }

    #[test]
    fn others_are_let_in_by_their_whole_origin() {
        let others = ["https://board.example", "http://localhost:5173"];
        assert!(ask(&["https://board.example"], "pm.example", &others));
        assert!(ask(&["https://board.example:443"], "pm.example", &others));
        assert!(ask(&["http://localhost:5173"], "pm.example", &others));
        assert!(!ask(&["http://board.example"], "pm.example", &others));
        assert!(!ask(&["https://board.example:8443"], "pm.example", &others));
        assert!(!ask(&["null"], "pm.example", &others));
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (text, shown) in [
            ("https://pm.example", "https://pm.example"),
            ("https://PM.example:443", "https://pm.example"),
            ("http://[::1]:7171", "http://[::1]:7171"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "*",
            "null",
            "pm.example",
            "https://",
            "https://a/",
            "ws://a",
            "https://a?b",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text:?}");
        }
    }
}
