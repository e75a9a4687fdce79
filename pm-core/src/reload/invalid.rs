use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// Why a setting was refused: the field, and what is wrong with it.
///
/// Neither is to hold what the field holds, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSetting {
    field: Cow<'static, str>,
    reason: Cow<'static, str>,
}

impl InvalidSetting {
    /// The path of the field, as whoever writes the settings knows it, and what it should be.
    pub fn new(field: impl Into<Cow<'static, str>>, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            field: field.into(),
            reason: reason.into(),
        }
    }

    /// The same, of a field that belongs to this part: `open_for` within `breaker` is
    /// `breaker.open_for`.
    #[must_use]
    pub fn within(self, part: &str) -> Self {
        Self {
            field: format!("{part}.{}", self.field).into(),
            reason: self.reason,
        }
    }

    /// The path of the field.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong with it.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not valid: {}", self.field, self.reason)
    }
}

impl Error for InvalidSetting {}
