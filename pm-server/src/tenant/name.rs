use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

/// The longest name, in characters.
const MAX_CHARS: usize = 63;

/// Names that Windows keeps for its devices, whatever extension follows.
const RESERVED: [&str; 24] = [
    "aux", "con", "nul", "prn", "com0", "com1", "com2", "com3", "com4", "com5", "com6", "com7",
    "com8", "com9", "lpt0", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// The name of a tenant: 1 to 63 characters of `a-z`, `0-9` and `-`, the first not a `-`.
///
/// It becomes a file name, so nothing else can be one: no dot, no separator, no upper case that
/// another file system would fold, no device. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantName(Arc<str>);

/// Why something is not the name of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tenant's name has 1 to 63 characters of a-z, 0-9 and -, does not begin with -, and is not \
     the name of a device"
)]
pub struct InvalidName(());

impl TenantName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TenantName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let valid = (1..=MAX_CHARS).contains(&text.len())
            && text.bytes().all(allowed)
            && !text.starts_with('-')
            && !RESERVED.contains(&text);
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName(()))
        }
    }
}

impl Borrow<str> for TenantName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_names() {
        for name in [
            "a",
            "demo",
            "0",
            "acme-2",
            "a-",
            "com10",
            "console",
            &"x".repeat(63),
        ] {
            assert_eq!(name.parse::<TenantName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn what_would_be_a_path_a_device_or_another_name_is_refused() {
        for name in [
            "",
            "-a",
            ".",
            "..",
            "a.b",
            "a/b",
            "../a",
            "a\\b",
            "c:",
            "A",
            "Demo",
            "a b",
            " a",
            "a\n",
            "a\0",
            "ä",
            "ﬁ",
            "nul",
            "con",
            "com1",
            "lpt9",
            "%2e",
            "a_b",
            "~",
            &"x".repeat(64),
        ] {
            assert!(name.parse::<TenantName>().is_err(), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_one_plain_path_component(text in "\\PC{0,70}") {
            if let Ok(name) = text.parse::<TenantName>() {
                let path = std::path::Path::new("tenants").join(format!("{name}.sqlite"));
                prop_assert_eq!(path.components().count(), 2);
                prop_assert_eq!(path.parent(), Some(std::path::Path::new("tenants")));
                prop_assert_eq!(path.file_stem().and_then(|stem| stem.to_str()), Some(&*text));
            }
        }
    }
}
