use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};

use siphasher::sip128::{Hash128, Hasher128, SipHasher13};

use crate::PolicyName;
use crate::subject::Who;

/// The key that subjects are digested with before a store sees them: 128 bits.
///
/// Without it nobody can tell whose bucket is whose, or aim at one. Processes that share a store
/// share their buckets if they have the same key, and only then. Keep it like a password, and do
/// not change it without need: with another key, all buckets start full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DigestKey([u8; 16]);

impl DigestKey {
    /// This key. Make it once, of 16 random bytes.
    #[must_use]
    pub const fn new(key: [u8; 16]) -> Self {
        Self(key)
    }

    /// A key that nobody else has: for buckets in the memory of this process.
    #[must_use]
    pub fn random() -> Self {
        // The key of std's hash maps comes from the operating system; what it makes of two fixed
        // numbers is as unpredictable.
        let entropy = RandomState::new();
        let halves = [entropy.hash_one(0), entropy.hash_one(1)].map(u128::from);
        Self((halves[0] << 64 | halves[1]).to_le_bytes())
    }
}

/// Without the key.
impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey")
    }
}

/// Turns rules and subjects into digests: SipHash-1-3 with 128 bits of output. The sum of one of
/// each is the id of a bucket.
///
/// The variant with fewer rounds is what std's hash maps rely on against clients who choose their
/// keys, for the same reason: whoever does not know the key cannot aim, and never sees a digest.
/// 2-4 guards authenticators that everybody may look at, and takes half as long again.
///
/// Each kind begins with a block of its own, so that different kinds never share a digest. That block is
/// digested beforehand, and what comes behind it is digested in one piece where it can be: that takes half
/// as long.
#[derive(Clone, Copy)]
pub(crate) struct Keys {
    rule: SipHasher13,
    api_key: SipHasher13,
    client_v4: SipHasher13,
    client_v6: SipHasher13,
    connection: SipHasher13,
    custom: SipHasher13,
    everyone: SipHasher13,
    user: SipHasher13,
    tenant: SipHasher13,
}

impl Keys {
    pub(crate) fn new(key: DigestKey) -> Self {
        let kind = |block: &[u8; 8]| {
            let mut hasher = SipHasher13::new_with_key(&key.0);
            hasher.write(block);
            hasher
        };
        Self {
            rule: kind(b"rule    "),
            api_key: kind(b"api-key "),
            client_v4: kind(b"client-4"),
            client_v6: kind(b"client-6"),
            connection: kind(b"connect "),
            custom: kind(b"custom  "),
            everyone: kind(b"everyone"),
            user: kind(b"user    "),
            tenant: kind(b"tenant  "),
        }
    }

    pub(crate) fn rule(&self, name: &PolicyName) -> u128 {
        self.rule.hash(name.as_str().as_bytes()).as_u128()
    }

    #[inline]
    pub(crate) fn subject(&self, who: &Who<'_>) -> u128 {
        let digest = match *who {
            Who::ApiKey(key) => self.api_key.hash(key.as_bytes()),
            Who::ClientV4(addr) => self.client_v4.hash(&addr.to_le_bytes()),
            Who::ClientV6(network) => self.client_v6.hash(&network.to_le_bytes()),
            Who::Connection(number) => self.connection.hash(&number.to_le_bytes()),
            Who::Custom { kind, value } => two_texts(self.custom, kind, value),
            Who::Everyone => self.everyone.hash(&[]),
            Who::User(user) => match user.tenant() {
                None => self.user.hash(user.name().as_bytes()),
                Some(tenant) => two_texts(self.tenant, tenant, user.name()),
            },
        };
        digest.as_u128()
    }
}

/// The first one is preceded by its length, so that no other two texts join to the same.
fn two_texts(mut hasher: SipHasher13, first: &str, second: &str) -> Hash128 {
    hasher.write(&(first.len() as u64).to_le_bytes());
    hasher.write(first.as_bytes());
    hasher.write(second.as_bytes());
    hasher.finish128()
}

/// Without the state, which is as good as the key.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use pm_core::Identity;

    use super::*;
    use crate::{By, Subject};

    fn keys() -> Keys {
        Keys::new(DigestKey::new(*b"sixteen bytes, a"))
    }

    #[test]
    fn kinds_do_not_mix_and_texts_do_not_run_together() {
        let acme = Identity::new("b").with_tenant("a");
        let acme_b = Identity::new("").with_tenant("ab");
        let subjects = [
            Subject::user("a"),
            Subject::user("ab"),
            Subject::user(""),
            Subject::new().api_key("a"),
            Subject::identity(&acme),
            Subject::identity(&acme_b),
            Subject::new().custom("a", "b"),
            Subject::new().custom("ab", ""),
            Subject::new().custom("", "ab"),
            Subject::new().connection(97),
            Subject::at(std::net::IpAddr::from([97, 0, 0, 0])),
        ];
        let digests: HashSet<u128> = subjects
            .iter()
            .map(|subject| keys().subject(&subject.who(&By::Caller).expect("somebody")))
            .collect();
        assert_eq!(digests.len(), subjects.len());
    }

    #[test]
    fn the_key_is_part_of_it() {
        let user = |keys: Keys| keys.subject(&Subject::user("a").who(&By::User).expect("a user"));
        assert_eq!(user(keys()), user(keys()));
        assert_ne!(user(keys()), user(Keys::new(DigestKey::random())));
        assert_ne!(DigestKey::random(), DigestKey::random());
        assert_ne!(DigestKey::random().0[..8], DigestKey::random().0[8..]);
        let name = PolicyName::from_static;
        assert_ne!(keys().rule(&name("a")), keys().rule(&name("b")));
    }

    #[test]
    fn debug_gives_nothing_away() {
        let shown = format!("{:?} {:?}", DigestKey::new([65; 16]), keys());
        assert_eq!(shown, "DigestKey Keys { .. }");
    }
}
