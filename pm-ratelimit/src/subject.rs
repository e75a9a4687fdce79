use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pm_core::{ClientIp, Identity};

/// Whose bucket it is. Subjects of different kinds never share one, whatever their text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub struct Subject<'a>(Kind<'a>);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind<'a> {
    ApiKey(&'a str),
    ClientV4(Ipv4Addr),
    ClientV6([u8; 8]),
    Connection(u64),
    Custom {
        kind: &'static str,
        value: &'a str,
    },
    User {
        tenant: Option<&'a str>,
        subject: &'a str,
    },
}

impl<'a> Subject<'a> {
    /// A client, by its address.
    ///
    /// An IPv6 address counts as its /64, the least that a customer is given: whoever has one
    /// address has all of them. An IPv4 address in IPv6 clothes counts as itself, be it mapped
    /// (`::ffff:0:0/96`), behind NAT64 (`64:ff9b::/96`, RFC 6052) or 6to4 (`2002::/16`, RFC 3056),
    /// where a /64 would make one client of everybody.
    pub fn client(client: impl Into<ClientIp>) -> Self {
        Self(match client.into().addr() {
            IpAddr::V4(v4) => Kind::ClientV4(v4),
            IpAddr::V6(v6) => match embedded_v4(v6) {
                Some(v4) => Kind::ClientV4(v4),
                None => {
                    let [network @ .., _, _, _, _, _, _, _, _] = v6.octets();
                    Kind::ClientV6(network)
                }
            },
        })
    }

    /// A user, by a name that is unique in this service.
    pub const fn user(name: &'a str) -> Self {
        Self(Kind::User {
            tenant: None,
            subject: name,
        })
    }

    /// A user, by tenant and subject.
    pub fn identity(identity: &'a Identity) -> Self {
        Self(Kind::User {
            tenant: identity.tenant(),
            subject: identity.subject(),
        })
    }

    /// The holder of an API key. Only a digest of the key is kept.
    pub const fn api_key(key: &'a str) -> Self {
        Self(Kind::ApiKey(key))
    }

    /// One connection, by a number that no other open connection has.
    pub const fn connection(number: u64) -> Self {
        Self(Kind::Connection(number))
    }

    /// Something else: `value` is whose bucket it is, `kind` keeps it apart from other kinds.
    pub const fn custom(kind: &'static str, value: &'a str) -> Self {
        Self(Kind::Custom { kind, value })
    }

    /// Hands out the subject in pieces that, put together, no other subject has.
    pub(crate) fn canonical(&self, mut write: impl FnMut(&[u8])) {
        match self.0 {
            Kind::ApiKey(key) => {
                write(b"k");
                write(key.as_bytes());
            }
            Kind::ClientV4(addr) => {
                write(b"4");
                write(&addr.octets());
            }
            Kind::ClientV6(network) => {
                write(b"6");
                write(&network);
            }
            Kind::Connection(number) => {
                write(b"c");
                write(&number.to_le_bytes());
            }
            Kind::Custom { kind, value } => {
                write(b"x");
                // What comes before another text is preceded by its length, so that no other two
                // texts join to the same.
                write(&(kind.len() as u64).to_le_bytes());
                write(kind.as_bytes());
                write(value.as_bytes());
            }
            Kind::User {
                tenant: None,
                subject,
            } => {
                write(b"u");
                write(subject.as_bytes());
            }
            Kind::User {
                tenant: Some(tenant),
                subject,
            } => {
                write(b"t");
                write(&(tenant.len() as u64).to_le_bytes());
                write(tenant.as_bytes());
                write(subject.as_bytes());
            }
        }
    }
}

fn embedded_v4(addr: Ipv6Addr) -> Option<Ipv4Addr> {
    match addr.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => None,
    }
}

/// Names the kind only: the rest may be a secret, or somebody's name.
impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::ApiKey(_) => "Subject(api key)",
            Kind::ClientV4(_) | Kind::ClientV6(_) => "Subject(client)",
            Kind::Connection(_) => "Subject(connection)",
            Kind::Custom { .. } => "Subject(custom)",
            Kind::User { .. } => "Subject(user)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(addr: &str) -> Subject<'static> {
        Subject::client(addr.parse::<IpAddr>().expect(addr))
    }

    #[test]
    fn one_customers_64_is_one_client() {
        assert_eq!(
            client("2001:db8:1:2::1"),
            client("2001:db8:1:2:ffff:ffff:ffff:ffff")
        );
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("::ffff:192.0.2.1"), client("::ffff:192.0.2.2"));
    }

    #[test]
    fn clients_behind_nat64_and_6to4_do_not_share_a_bucket() {
        assert_eq!(client("64:ff9b::192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("64:ff9b::192.0.2.1"), client("64:ff9b::192.0.2.2"));
        assert_eq!(client("2002:c000:201::1"), client("192.0.2.1"));
        assert_eq!(client("2002:c000:201:5::9"), client("192.0.2.1"));
    }

    #[test]
    fn debug_gives_nothing_away() {
        let identity = Identity::new("ada").with_tenant("acme");
        for subject in [
            Subject::api_key("sk-secret"),
            Subject::custom("card", "secret"),
            Subject::identity(&identity),
            client("192.0.2.1"),
        ] {
            let shown = format!("{subject:?}");
            assert!(!shown.contains("secret") && !shown.contains("ada") && !shown.contains("192"));
        }
    }
}
