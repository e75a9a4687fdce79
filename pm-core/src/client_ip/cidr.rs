use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A block of addresses: those whose first `prefix` bits are those of `network`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// `addr` must not be an IPv4-mapped address; a block of those was folded when it was parsed.
    pub(super) fn contains(&self, addr: IpAddr) -> bool {
        masked(addr, self.prefix) == Some(self.network) && self.network.is_ipv4() == addr.is_ipv4()
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidCidr {
            text: text.chars().take(64).collect(),
            reason,
        };
        let (addr, prefix) = match text.split_once('/') {
            Some((addr, prefix)) => (addr, Some(prefix)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| invalid(Reason::Address))?;
        let width = if addr.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|prefix| *prefix <= width)
                .ok_or_else(|| invalid(Reason::Prefix { width }))?,
            Some(_) => return Err(invalid(Reason::Prefix { width })),
        };
        if masked(addr, prefix) != Some(addr) {
            let network = masked(addr, prefix).unwrap_or(addr);
            return Err(invalid(Reason::HostBits { network, prefix }));
        }
        Ok(folded(addr, prefix))
    }
}

fn masked(addr: IpAddr, prefix: u8) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(v4) => {
            let host_bits = 32u32.checked_sub(prefix.into())?;
            let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
            Some(IpAddr::V4((v4.to_bits() & mask).into()))
        }
        IpAddr::V6(v6) => {
            let host_bits = 128u32.checked_sub(prefix.into())?;
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            Some(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask)))
        }
    }
}

fn folded(network: IpAddr, prefix: u8) -> Cidr {
    match network.to_canonical() {
        IpAddr::V4(v4) if network.is_ipv6() && prefix >= 96 => Cidr {
            network: IpAddr::V4(v4),
            prefix: prefix - 96,
        },
        _ => Cidr { network, prefix },
    }
}

/// The text is not a block of addresses; the message says what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidCidr {
    text: String,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    Address,
    HostBits { network: IpAddr, prefix: u8 },
    Prefix { width: u8 },
}

impl fmt::Display for InvalidCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        match &self.reason {
            Reason::Address => write!(
                f,
                "{text:?} is not a block of addresses: write it like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7"
            ),
            Reason::HostBits { network, prefix } => write!(
                f,
                "{text:?} has bits set behind its prefix: write {network}/{prefix}, or a longer prefix"
            ),
            Reason::Prefix { width } => {
                write!(
                    f,
                    "{text:?} has no valid prefix length: write a number from 0 to {width}"
                )
            }
        }
    }
}

impl std::error::Error for InvalidCidr {}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(cidr: &str, addr: &str) -> bool {
        let cidr: Cidr = cidr.parse().expect(cidr);
        cidr.contains(addr.parse().expect(addr))
    }

    #[test]
    fn a_block_contains_its_own_and_nothing_else() {
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("0.0.0.0/0", "8.8.8.8"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(!contains("::/0", "8.8.8.8"));
        assert!(contains("192.0.2.7", "192.0.2.7"));
        assert!(!contains("192.0.2.7", "192.0.2.6"));
        assert!(contains("2001:db8::/33", "2001:db8:7fff::1"));
        assert!(!contains("2001:db8::/33", "2001:db8:8000::1"));
    }

    #[test]
    fn a_block_of_mapped_addresses_is_one_of_ipv4() {
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(!contains("::ffff:10.0.0.0/104", "11.1.2.3"));
    }

    #[test]
    fn a_mistake_is_answered_with_what_to_write() {
        for (text, message) in [
            (
                "10.0.0.0.0/8",
                "\"10.0.0.0.0/8\" is not a block of addresses: write it like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7",
            ),
            (
                "10.0.0.1/8",
                "\"10.0.0.1/8\" has bits set behind its prefix: write 10.0.0.0/8, or a longer prefix",
            ),
            (
                "10.0.0.0/33",
                "\"10.0.0.0/33\" has no valid prefix length: write a number from 0 to 32",
            ),
            (
                "2001:db8::/+9",
                "\"2001:db8::/+9\" has no valid prefix length: write a number from 0 to 128",
            ),
            (
                "10.0.0.0/",
                "\"10.0.0.0/\" has no valid prefix length: write a number from 0 to 32",
            ),
        ] {
            assert_eq!(text.parse::<Cidr>().expect_err(text).to_string(), message);
        }
    }
}
