use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::{BucketId, PolicyName, Subject};

/// Turns subjects into bucket ids: SipHash-2-4 with 128 bits of output, under a key that nobody
/// outside knows, over the policy's name and the subject.
#[derive(Clone, Copy)]
pub(crate) struct Digest(SipHasher24);

impl Digest {
    /// With a key of its own, so that two limiters never share a bucket by accident.
    pub(crate) fn random(policy: &PolicyName) -> Self {
        // The key of std's hash maps comes from the operating system; what it makes of two fixed
        // numbers is as unpredictable.
        let entropy = RandomState::new();
        Self::new(entropy.hash_one(0), entropy.hash_one(1), policy)
    }

    fn new(key0: u64, key1: u64, policy: &PolicyName) -> Self {
        let mut hasher = SipHasher24::new_with_keys(key0, key1);
        hasher.write(&(policy.as_str().len() as u64).to_le_bytes());
        hasher.write(policy.as_str().as_bytes());
        Self(hasher)
    }

    pub(crate) fn bucket(&self, subject: &Subject<'_>) -> BucketId {
        let mut hasher = self.0;
        subject.canonical(|part| hasher.write(part));
        BucketId::from_u128(hasher.finish128().as_u128())
    }
}

/// Without the state, which is as good as the key.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digest").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use pm_core::Identity;

    use super::*;

    const NAME: PolicyName = PolicyName::from_static("test");

    #[test]
    fn kinds_do_not_mix_and_texts_do_not_run_together() {
        let digest = Digest::random(&NAME);
        let acme = Identity::new("b").with_tenant("a");
        let acme_b = Identity::new("").with_tenant("ab");
        let subjects = [
            Subject::user("a"),
            Subject::user("ab"),
            Subject::user(""),
            Subject::api_key("a"),
            Subject::identity(&acme),
            Subject::identity(&acme_b),
            Subject::custom("a", "b"),
            Subject::custom("ab", ""),
            Subject::custom("", "ab"),
            Subject::connection(97),
            Subject::client(std::net::IpAddr::from([97, 0, 0, 0])),
        ];
        let ids: HashSet<BucketId> = subjects
            .iter()
            .map(|subject| digest.bucket(subject))
            .collect();
        assert_eq!(ids.len(), subjects.len());
    }

    #[test]
    fn the_policy_and_the_key_are_part_of_it() {
        let bucket = |key0, name| Digest::new(key0, 0, &name).bucket(&Subject::user("a"));
        assert_eq!(bucket(1, NAME), bucket(1, NAME));
        assert_ne!(bucket(1, NAME), bucket(2, NAME));
        assert_ne!(bucket(1, NAME), bucket(1, PolicyName::from_static("other")));
        let user = Subject::user("a");
        assert_ne!(
            Digest::random(&NAME).bucket(&user),
            Digest::random(&NAME).bucket(&user)
        );
    }
}
