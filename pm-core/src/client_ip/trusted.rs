use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

use super::cidr::{Cidr, InvalidCidr};
use super::{ClientIp, forwarded};

/// More hops than this are not walked, whoever the addresses belong to.
const MAX_HOPS: usize = 32;

/// Which of the addresses that a request passed through are proxies of ours.
///
/// By default none: the client is the other end of the connection, and no header is read. Cheap to
/// clone.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies {
    cidrs: Option<Arc<[Cidr]>>,
    hops: Option<usize>,
    header: Header,
}

#[derive(Clone, Copy, Debug, Default)]
enum Header {
    Forwarded,
    #[default]
    XForwardedFor,
}

impl TrustedProxies {
    /// Trusts nobody. The same as the default.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Trusts the proxies in these blocks of addresses, like `10.0.0.0/8` or `2001:db8::1`.
    ///
    /// A block of IPv4-mapped addresses is the IPv4 block; a wider IPv6 block such as `::/0` does
    /// not contain IPv4 addresses.
    ///
    /// # Errors
    ///
    /// If one of them is not a block of addresses. The message names it and says what to write.
    pub fn cidrs<C: AsRef<str>>(blocks: impl IntoIterator<Item = C>) -> Result<Self, InvalidCidr> {
        let cidrs: Result<Arc<[Cidr]>, _> = blocks
            .into_iter()
            .map(|block| block.as_ref().parse())
            .collect();
        Ok(Self {
            cidrs: Some(cidrs?),
            ..Self::default()
        })
    }

    /// Trusts the nearest `count` addresses, the other end of the connection being the first: for
    /// a fixed number of proxies in front, whose addresses are not known.
    ///
    /// It is safe only if the service cannot be reached but through all of them.
    #[must_use]
    pub fn hops(count: usize) -> Self {
        Self {
            hops: Some(count),
            ..Self::default()
        }
    }

    /// Trusts no more than the nearest `count` addresses, in addition to what was already
    /// demanded: with [`cidrs`](Self::cidrs), a proxy must be in a block *and* within the count.
    #[must_use]
    pub fn with_hops(mut self, count: usize) -> Self {
        self.hops = Some(count);
        self
    }

    /// Reads the header `Forwarded` (RFC 7239) *instead of* `X-Forwarded-For`.
    ///
    /// Never both: a proxy that writes one of them lets through what the client wrote into the
    /// other.
    #[must_use]
    pub fn with_forwarded(mut self) -> Self {
        self.header = Header::Forwarded;
        self
    }

    /// The client of a request that came from `peer` with these headers.
    ///
    /// All lines of the header count, as one list. A hop that is no address (garbage, `unknown`,
    /// an obfuscated name, nothing at all) ends the walk at the last address before it, as does
    /// the end of the list; at most 32 hops are walked.
    #[must_use]
    pub fn client_ip(&self, peer: IpAddr, headers: &HeaderMap) -> ClientIp {
        let peer = ClientIp::new(peer);
        match self.header {
            Header::Forwarded => self.walk(peer, forwarded::forwarded(headers)),
            Header::XForwardedFor => self.walk(peer, forwarded::x_forwarded_for(headers)),
        }
    }

    fn walk(&self, peer: ClientIp, hops: impl Iterator<Item = Option<IpAddr>>) -> ClientIp {
        let mut client = peer;
        for (distance, hop) in hops.take(MAX_HOPS).enumerate() {
            if !self.trusts(client, distance) {
                break;
            }
            match hop {
                Some(addr) => client = ClientIp::new(addr),
                None => break,
            }
        }
        client
    }

    /// Whether the address is a proxy of ours; `distance` is 0 for the other end of the connection.
    fn trusts(&self, addr: ClientIp, distance: usize) -> bool {
        let within_hops = self.hops.is_none_or(|count| distance < count);
        match &self.cidrs {
            Some(cidrs) => within_hops && cidrs.iter().any(|cidr| cidr.contains(addr.addr())),
            None => within_hops && self.hops.is_some(),
        }
    }
}
