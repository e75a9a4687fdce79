//! The address of the client, behind proxies too, and only as far as they are trusted.
//!
//! Any client can write any `X-Forwarded-For`. What is true in it is only what a proxy of ours
//! appended, at the right end. So nothing is trusted by default, and with [`TrustedProxies`]
//! configured the list is walked from the right: from our own proxies to the first address that is
//! not one of them. That is the client; whatever stands further left is the client's own claim.
//!
//! The walk starts at the address that the connection comes from, which whoever accepts the
//! connection puts into the request's extensions as [`PeerAddr`].
//!
//! ```
//! use http::{HeaderMap, HeaderValue};
//! use pm_core::TrustedProxies;
//!
//! let proxies = TrustedProxies::cidrs(["10.0.0.0/8"])?;
//! let peer = "10.0.0.7".parse()?;
//! let mut headers = HeaderMap::new();
//! headers.insert("x-forwarded-for", HeaderValue::from_static("6.6.6.6, 203.0.113.9, 10.1.2.3"));
//! assert_eq!(proxies.client_ip(peer, &headers).to_string(), "203.0.113.9");
//!
//! assert_eq!(TrustedProxies::none().client_ip(peer, &headers).to_string(), "10.0.0.7");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cidr;
mod forwarded;
mod layer;
mod trusted;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub use self::cidr::{Cidr, InvalidCidr};
pub use self::layer::{ClientIpLayer, ClientIpService};
pub use self::trusted::TrustedProxies;

/// The address of the client, found by [`ClientIpLayer`] and put into the request's extensions.
///
/// An IPv4 address in IPv6 clothes (`::ffff:192.0.2.1`, as a dual-stack socket reports it) is kept
/// as IPv4: one client has one address, whatever the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientIp(IpAddr);

impl ClientIp {
    /// The client at `addr`.
    #[must_use]
    pub const fn new(addr: IpAddr) -> Self {
        Self(addr.to_canonical())
    }

    /// The address, never an IPv4-mapped one.
    #[must_use]
    pub const fn addr(self) -> IpAddr {
        self.0
    }
}

impl From<IpAddr> for ClientIp {
    fn from(addr: IpAddr) -> Self {
        Self::new(addr)
    }
}

impl fmt::Display for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The other end of the connection that a request came in on.
///
/// Whoever accepts connections puts it into the extensions of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub SocketAddr);
