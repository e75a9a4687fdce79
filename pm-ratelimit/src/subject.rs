use std::fmt;
use std::net::IpAddr;

use pm_core::{ClientIp, Identity};

use crate::By;
use crate::client_prefix::embedded_v4;

/// Who wants something: all that is known about them, which one or the other rule is
/// [by](crate::Rule::by).
///
/// ```
/// use pm_ratelimit::Subject;
/// # let address: std::net::IpAddr = [192, 0, 2, 1].into();
///
/// let subject = Subject::user("u1").client(address).connection(7);
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[must_use]
pub struct Subject<'a> {
    user: Option<User<'a>>,
    roles: Roles<'a>,
    client: Option<ClientIp>,
    api_key: Option<&'a str>,
    connection: Option<u64>,
    custom: Option<(&'a str, &'a str)>,
}

/// A user, as quotas of their own are looked up for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct User<'a> {
    tenant: Option<&'a str>,
    name: &'a str,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
enum Roles<'a> {
    #[default]
    None,
    Listed(&'a [&'a str]),
    Of(&'a Identity),
}

/// Whose bucket it is. Different kinds never share one, whatever their text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who<'a> {
    ApiKey(&'a str),
    ClientV4(u32),
    /// The network.
    ClientV6(u64),
    Connection(u64),
    Custom {
        kind: &'a str,
        value: &'a str,
    },
    Everyone,
    User(User<'a>),
}

impl<'a> Subject<'a> {
    /// Somebody of whom nothing is known yet.
    #[inline]
    pub const fn new() -> Self {
        Self {
            user: None,
            roles: Roles::None,
            client: None,
            api_key: None,
            connection: None,
            custom: None,
        }
    }

    /// A user, by a name that is unique in this service.
    #[inline]
    pub const fn user(name: &'a str) -> Self {
        let mut subject = Self::new();
        subject.user = Some(User { tenant: None, name });
        subject
    }

    /// A user, by tenant and subject, with their roles.
    #[inline]
    pub fn identity(identity: &'a Identity) -> Self {
        Self {
            user: Some(User {
                tenant: identity.tenant(),
                name: identity.subject(),
            }),
            roles: Roles::Of(identity),
            ..Self::new()
        }
    }

    /// A client, by its address.
    #[inline]
    pub fn at(client: impl Into<ClientIp>) -> Self {
        Self::new().client(client)
    }

    /// The address that they come from.
    ///
    /// An IPv6 address counts as its /64, the least that a customer is given: whoever has one
    /// address has all of them. An IPv4 address in IPv6 clothes counts as itself, be it mapped
    /// (`::ffff:0:0/96`), behind NAT64 (`64:ff9b::/96`, RFC 6052) or 6to4 (`2002::/16`, RFC 3056),
    /// where a /64 would make one client of everybody.
    #[inline]
    pub fn client(mut self, client: impl Into<ClientIp>) -> Self {
        self.client = Some(client.into());
        self
    }

    /// The roles that the user has. ASCII case is ignored.
    #[inline]
    pub const fn roles(mut self, roles: &'a [&'a str]) -> Self {
        self.roles = Roles::Listed(roles);
        self
    }

    /// The API key that they hold. Only a digest of it is kept.
    #[inline]
    pub const fn api_key(mut self, key: &'a str) -> Self {
        self.api_key = Some(key);
        self
    }

    /// The connection that they use, by a number that no other open connection has.
    #[inline]
    pub const fn connection(mut self, number: u64) -> Self {
        self.connection = Some(number);
        self
    }

    /// Something else: `value` is whose bucket it is, `kind` keeps it apart from other kinds, and is
    /// what a rule [by custom](By::Custom) names.
    #[inline]
    pub const fn custom(mut self, kind: &'a str, value: &'a str) -> Self {
        self.custom = Some((kind, value));
        self
    }

    #[inline]
    pub(crate) fn who(&self, by: &By) -> Option<Who<'a>> {
        match by {
            By::ApiKey => self.api_key.map(Who::ApiKey),
            By::Caller => self.caller(),
            By::Client => self.client.map(Who::client),
            By::Connection => self.connection.map(Who::Connection),
            By::Custom(wanted) => self
                .custom
                .filter(|(kind, _)| kind == wanted)
                .map(|(kind, value)| Who::Custom { kind, value }),
            By::Everyone => Some(Who::Everyone),
            By::User => self.user.map(Who::User),
        }
    }

    /// Whoever is known best.
    #[inline]
    fn caller(&self) -> Option<Who<'a>> {
        if let Some(user) = self.user {
            Some(Who::User(user))
        } else if let Some(key) = self.api_key {
            Some(Who::ApiKey(key))
        } else if let Some(number) = self.connection {
            Some(Who::Connection(number))
        } else if let Some((kind, value)) = self.custom {
            Some(Who::Custom { kind, value })
        } else {
            self.client.map(Who::client)
        }
    }

    /// `role` is in lower case.
    pub(crate) fn has_role(&self, role: &str) -> bool {
        match self.roles {
            Roles::None => false,
            Roles::Listed(roles) => roles.iter().any(|held| held.eq_ignore_ascii_case(role)),
            Roles::Of(identity) => identity.has_role(role),
        }
    }

    pub(crate) const fn as_user(&self) -> Option<User<'a>> {
        self.user
    }

    pub(crate) const fn as_client(&self) -> Option<ClientIp> {
        self.client
    }
}

impl<'a> User<'a> {
    /// Whose name it is, where there are tenants.
    #[must_use]
    pub const fn tenant(&self) -> Option<&'a str> {
        self.tenant
    }

    /// The name, unique within the tenant.
    #[must_use]
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// The same user as a value of its own, without roles.
    #[must_use]
    pub fn to_identity(&self) -> Identity {
        let identity = Identity::new(self.name);
        match self.tenant {
            Some(tenant) => identity.with_tenant(tenant),
            None => identity,
        }
    }
}

impl<'a> From<&'a Identity> for User<'a> {
    fn from(identity: &'a Identity) -> Self {
        Self {
            tenant: identity.tenant(),
            name: identity.subject(),
        }
    }
}

impl Who<'_> {
    #[inline]
    fn client(client: ClientIp) -> Self {
        match client.addr() {
            IpAddr::V4(v4) => Self::ClientV4(v4.to_bits()),
            IpAddr::V6(v6) => match embedded_v4(v6) {
                Some(v4) => Self::ClientV4(v4.to_bits()),
                None => Self::ClientV6((v6.to_bits() >> 64) as u64),
            },
        }
    }
}

/// Names what is known, and not what it is: that may be a secret, or somebody's name.
impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = [
            ("user", self.user.is_some()),
            ("client", self.client.is_some()),
            ("api key", self.api_key.is_some()),
            ("connection", self.connection.is_some()),
            ("custom", self.custom.is_some()),
        ];
        f.write_str("Subject")?;
        f.debug_set()
            .entries(
                known
                    .iter()
                    .filter(|(_, known)| *known)
                    .map(|(name, _)| name),
            )
            .finish()
    }
}

/// Without the name.
impl fmt::Debug for User<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("User")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(addr: &str) -> Option<Who<'static>> {
        Subject::at(addr.parse::<IpAddr>().expect(addr)).who(&By::Client)
    }

    fn differ(a: &str, b: &str) -> bool {
        client(a) != client(b)
    }

    #[test]
    fn one_customers_64_is_one_client() {
        // tower_governor keys by the whole address: a customer has 2⁶⁴ of them.
        assert!(!differ(
            "2001:db8:1:2::1",
            "2001:db8:1:2:ffff:ffff:ffff:ffff"
        ));
        assert!(differ("2001:db8:1:2::1", "2001:db8:1:3::1"));
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        assert!(!differ("::ffff:192.0.2.1", "192.0.2.1"));
        assert!(differ("::ffff:192.0.2.1", "::ffff:192.0.2.2"));
    }

    #[test]
    fn clients_behind_nat64_and_6to4_do_not_share_a_bucket() {
        // jellyfin-plugin-sso #194 and #317: a /64 made one client of everybody behind a NAT64.
        assert!(!differ("64:ff9b::192.0.2.1", "192.0.2.1"));
        assert!(differ("64:ff9b::192.0.2.1", "64:ff9b::192.0.2.2"));
        assert!(!differ("2002:c000:201::1", "192.0.2.1"));
        assert!(!differ("2002:c000:201:5::9", "192.0.2.1"));
    }

    #[test]
    fn the_caller_is_whoever_is_known_best() {
        let subject = Subject::at(IpAddr::from([192, 0, 2, 1]));
        assert!(matches!(subject.who(&By::Caller), Some(Who::ClientV4(_))));
        let subject = subject.custom("card", "1").connection(7);
        assert!(matches!(subject.who(&By::Caller), Some(Who::Connection(7))));
        assert!(subject.api_key("k").who(&By::Caller) == Some(Who::ApiKey("k")));
        assert!(subject.who(&By::Custom("card".into())).is_some());
        assert!(subject.who(&By::Custom("cart".into())).is_none());
        assert!(Subject::new().who(&By::Caller).is_none());
        assert!(Subject::new().who(&By::Everyone).is_some());
    }

    #[test]
    fn debug_gives_nothing_away() {
        let identity = Identity::new("ada").with_tenant("acme");
        let subject = Subject::identity(&identity)
            .client(IpAddr::from([192, 0, 2, 1]))
            .custom("card", "secret")
            .api_key("sk-secret");
        let shown = format!("{subject:?} {:?}", subject.as_user());
        assert!(!shown.contains("secret") && !shown.contains("ada") && !shown.contains("192"));
        assert!(shown.contains("api key"), "{shown}");
    }
}
