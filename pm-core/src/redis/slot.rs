use std::fmt;

/// One of the 16,384 parts of a cluster's keys: all keys of a script must be in the same.
///
/// It is that of the hash tag of a key, what is between its first braces, or of the whole key if
/// it has none.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(redis::cluster_routing::Slot);

impl Slot {
    pub(super) fn of(key: &[u8]) -> Self {
        Self(redis::cluster_routing::Slot::for_key(key))
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_tag_says_where_a_key_is() {
        let slot = |key: &str| Slot::of(key.as_bytes());
        assert_eq!(format!("{:?}", slot("123456789")), "Slot(12739)");
        assert_eq!(slot("shop:{a}:b"), slot("a"));
        assert_eq!(slot("{a}{b}"), slot("a"));
        assert_ne!(slot("shop:a"), slot("shop:b"));
        assert_ne!(slot("{}a"), slot("{}b"), "an empty tag is none");
        assert_ne!(slot("{a"), slot("{b"), "nor is one that does not end");
    }
}
