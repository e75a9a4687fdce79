use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What a policy is called in headers and problems: 1–64 printable ASCII characters.
///
/// That is what a String of RFC 9651 can hold, so a header made from it is always well-formed. Cheap
/// to clone.
#[derive(Clone)]
pub struct PolicyName(Text);

#[derive(Clone)]
enum Text {
    Shared(Arc<str>),
    Static(&'static str),
}

impl PolicyName {
    /// In bytes.
    pub(crate) const LONGEST: usize = 64;

    /// A name that is written in the program.
    ///
    /// # Panics
    ///
    /// If it is not 1–64 printable ASCII characters. In a constant, that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn from_static(name: &'static str) -> Self {
        assert!(
            is_valid(name.as_bytes()),
            "a policy name is 1 to 64 printable ASCII characters"
        );
        Self(Text::Static(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Shared(name) => name,
            Text::Static(name) => name,
        }
    }
}

impl PartialEq for PolicyName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for PolicyName {}

impl Hash for PolicyName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl TryFrom<String> for PolicyName {
    type Error = InvalidPolicyName;

    fn try_from(name: String) -> Result<Self, InvalidPolicyName> {
        if is_valid(name.as_bytes()) {
            Ok(Self(Text::Shared(name.into())))
        } else {
            Err(InvalidPolicyName(()))
        }
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyName({:?})", self.as_str())
    }
}

/// The text is not a policy name: write 1 to 64 printable ASCII characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a policy name is 1 to 64 printable ASCII characters")]
pub struct InvalidPolicyName(());

const fn is_valid(name: &[u8]) -> bool {
    if name.is_empty() || name.len() > PolicyName::LONGEST {
        return false;
    }
    let mut at = 0;
    while at < name.len() {
        if !matches!(name[at], b' '..=b'~') {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_structured_field_can_hold_is_a_name() {
        let name = |text: &str| PolicyName::try_from(text.to_owned()).is_ok();
        assert!(name("login") && name("per \"user\" \\ day") && name(&"x".repeat(64)));
        assert!(!name("") && !name("ü") && !name("a\nb") && !name("\u{7f}"));
        assert!(!name(&"x".repeat(65)));
    }

    #[test]
    #[should_panic(expected = "a policy name is 1 to 64 printable ASCII characters")]
    fn a_wrong_name_in_the_program_is_found_at_once() {
        let _ = PolicyName::from_static("ü");
    }
}
