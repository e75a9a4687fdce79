use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A block of addresses, like `10.0.0.0/8` or `2001:db8::/32`: all that begin with the same bits.
///
/// A block of IPv4-mapped addresses (`::ffff:0:0/96` and what is inside) is the IPv4 block; a wider
/// IPv6 block such as `::/0` contains no IPv4 address. Blocks are ordered by family, network and
/// length, so that a block comes right before all that is inside it.
///
/// ```
/// use pm_core::Cidr;
///
/// let office: Cidr = "2001:db8:1::/48".parse()?;
/// assert!(office.contains("2001:db8:1:2::3".parse()?));
/// assert_eq!(Cidr::around("192.0.2.77".parse()?, 24).to_string(), "192.0.2.0/24");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    network: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// The block around `addr` whose addresses have the first `prefix` bits in common. A number that
    /// is larger than the address has bits means the address alone.
    #[must_use]
    pub fn around(addr: IpAddr, prefix: u8) -> Self {
        let prefix = prefix.min(width(addr));
        folded(masked(addr, prefix).unwrap_or(addr), prefix)
    }

    /// The first address of the block.
    #[must_use]
    pub const fn network(&self) -> IpAddr {
        self.network
    }

    /// How many bits all addresses of the block have in common: at most 32 or 128.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether the address is in the block; an IPv4-mapped one counts as IPv4.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        masked(addr, self.prefix) == Some(self.network) && self.network.is_ipv4() == addr.is_ipv4()
    }
}

/// The address alone.
impl From<IpAddr> for Cidr {
    fn from(addr: IpAddr) -> Self {
        Self::around(addr, u8::MAX)
    }
}

/// As it is parsed, always with a prefix length.
impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

const fn width(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 32 } else { 128 }
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
        let width = width(addr);
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
    fn a_block_is_made_around_an_address_and_shown_as_it_is_parsed() {
        for (addr, prefix, shown) in [
            ("192.0.2.77", 24, "192.0.2.0/24"),
            ("192.0.2.77", 200, "192.0.2.77/32"),
            ("2001:db8:1:2:3::4", 64, "2001:db8:1:2::/64"),
            ("::ffff:192.0.2.77", 120, "192.0.2.0/24"),
            ("::1", 0, "::/0"),
        ] {
            let block = Cidr::around(addr.parse().expect(addr), prefix);
            assert_eq!(block.to_string(), shown);
            assert_eq!(shown.parse(), Ok(block));
        }
        let host = Cidr::from("::ffff:192.0.2.1".parse::<IpAddr>().expect("valid"));
        assert_eq!(
            (host.to_string().as_str(), host.prefix()),
            ("192.0.2.1/32", 32)
        );
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
