use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pm_core::{Cidr, ClientIp};

/// The bits of an IPv6 address that tell one client from another: whoever has one address of a /64
/// has all of them.
const V6_PREFIX: u8 = 64;

/// All addresses of a client: the IPv4 address alone, the one in IPv6 clothes included, or the /64.
pub(crate) fn client_prefix(client: ClientIp) -> Cidr {
    let addr = client.addr();
    match addr {
        IpAddr::V4(_) => Cidr::from(addr),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => Cidr::from(IpAddr::V4(v4)),
            None => Cidr::around(addr, V6_PREFIX),
        },
    }
}

/// The IPv4 address that an address holds, if it is another one.
pub(crate) fn embedded(addr: IpAddr) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => embedded_v4(v6).map(IpAddr::V4),
    }
}

/// The IPv4 address behind NAT64 (`64:ff9b::/96`, RFC 6052) or 6to4 (`2002::/16`, RFC 3056), where
/// a /64 would make one client of everybody.
pub(crate) fn embedded_v4(addr: Ipv6Addr) -> Option<Ipv4Addr> {
    match addr.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}
