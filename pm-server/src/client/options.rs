use std::fmt;

use http::{HeaderValue, Request, Uri, header::SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::{client::IntoClientRequest, protocol::WebSocketConfig};

use super::{Error, Token};
use crate::ws::PROTOCOL;

/// The largest message that is taken from a server; its parts of a snapshot are far smaller.
const MAX_INCOMING_BYTES: usize = 16 * 1024 * 1024;

/// Where to connect, and as whom.
#[derive(Clone)]
#[must_use]
pub struct Options {
    pub(super) url: String,
    pub(super) tenant: String,
    pub(super) token: Token,
    pub(super) client: String,
    read_buffer_bytes: usize,
}

impl Options {
    /// A server's address (`ws://host:port/ws`), a tenant (empty: the one of the token) and a token.
    pub fn new(url: impl Into<String>, tenant: impl Into<String>, token: Token) -> Self {
        Self {
            url: url.into(),
            tenant: tenant.into(),
            token,
            client: concat!("pm-server/", env!("CARGO_PKG_VERSION")).to_owned(),
            read_buffer_bytes: 16 * 1024,
        }
    }

    /// The name and version of the client, for the server's log.
    pub fn with_client(mut self, client: impl Into<String>) -> Self {
        self.client = client.into();
        self
    }

    /// The size of the read buffer, 16 KiB unless said otherwise: it is what an idle connection costs.
    pub fn with_read_buffer_bytes(mut self, bytes: usize) -> Self {
        self.read_buffer_bytes = bytes;
        self
    }

    /// The server's address as it was given.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The tenant that is asked for.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The address without the parts that people hide secrets in.
    pub(super) fn shown_url(&self) -> String {
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        match (url.find("://"), url.rfind('@')) {
            (Some(scheme), Some(at)) if scheme < at => {
                format!("{}://…{}", &url[..scheme], &url[at..])
            }
            (None, Some(at)) => format!("…{}", &url[at..]),
            _ => url.to_owned(),
        }
    }

    /// The upgrade request, and the `host:port` that it goes to.
    pub(super) fn request(&self) -> Result<(Request<()>, String), Error> {
        let bad = |reason| Error::BadUrl {
            url: self.shown_url(),
            reason,
        };
        let uri: Uri = self.url.parse().map_err(|_| bad("it is not a URL"))?;
        match uri.scheme_str() {
            Some("ws") => {}
            Some("wss") => return Err(bad("this client has no TLS, use ws:// to a TLS proxy")),
            _ => return Err(bad("it does not begin with ws://")),
        }
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("a user name in it means nothing here"));
        }
        let address = format!(
            "{}:{}",
            authority.host(),
            authority.port_u16().unwrap_or(80)
        );
        // Who leaves the path out means the server.
        let path = match uri.path_and_query().map_or("/", |path| path.as_str()) {
            "/" => "/ws",
            path => path,
        };
        let mut request = format!("ws://{authority}{path}")
            .into_client_request()
            .map_err(|_| bad("it is not a URL"))?;
        request
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
        Ok((request, address))
    }

    /// The library's defaults are 128 KiB of buffer each way, and no limit on what is not yet sent.
    pub(super) fn socket(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(self.read_buffer_bytes)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_INCOMING_BYTES)
            .max_message_size(Some(MAX_INCOMING_BYTES))
            .max_frame_size(Some(MAX_INCOMING_BYTES))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("url", &self.shown_url())
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> Result<(Request<()>, String), Error> {
        Options::new(url, "demo", Token::new("secret")).request()
    }

    #[test]
    fn the_request_goes_to_the_socket_of_the_host() {
        for (url, address, uri) in [
            (
                "ws://pm.example:7171/ws",
                "pm.example:7171",
                "ws://pm.example:7171/ws",
            ),
            ("ws://[::1]:7171", "[::1]:7171", "ws://[::1]:7171/ws"),
            ("ws://pm.example/", "pm.example:80", "ws://pm.example/ws"),
            (
                "ws://pm.example/a/ws?b",
                "pm.example:80",
                "ws://pm.example/a/ws?b",
            ),
        ] {
            let (request, to) = request(url).unwrap();
            assert_eq!(to, address);
            assert_eq!(request.uri(), uri);
            assert_eq!(request.headers()[SEC_WEBSOCKET_PROTOCOL], PROTOCOL);
        }
    }

    #[test]
    fn other_addresses_are_refused_with_a_reason() {
        for url in [
            "",
            "127.0.0.1:7171",
            "http://a/ws",
            "wss://a/ws",
            "ws://u:p@a/ws",
            "ws:///ws",
        ] {
            let error = request(url).unwrap_err();
            assert!(matches!(error, Error::BadUrl { .. }), "{url}: {error}");
        }
    }

    #[test]
    fn neither_errors_nor_debug_hold_a_secret() {
        for (url, shown) in [
            ("ws://a/ws", "ws://a/ws"),
            ("ws://me:secret@a/ws", "ws://…@a/ws"),
            ("me:secret@a", "…@a"),
            ("wss://a/ws?token=secret", "wss://a/ws"),
            ("ws:// a#secret", "ws:// a"),
        ] {
            let options = Options::new(url, "demo", Token::new("secret"));
            assert_eq!(options.shown_url(), shown);
            assert!(!format!("{options:?}").contains("secret"));
            if let Err(error) = options.request() {
                assert!(!format!("{error} {error:?}").contains("secret"));
            }
        }
    }
}
