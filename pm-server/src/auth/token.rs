use std::fmt;

/// A signed token in its compact form. Whoever has it is its subject: it never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    pub(super) fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that sends or prints it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
