use std::borrow::Cow;

/// Rules that are refused, and why: the first fault that was found.
///
/// Nothing has been changed. The message names the rule and the field, and says what to write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule:?}, field `{field}`: {message}")]
pub struct InvalidRules {
    rule: Box<str>,
    field: &'static str,
    message: Cow<'static, str>,
}

impl InvalidRules {
    pub(crate) fn new(
        rule: &str,
        field: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            rule: rule.chars().take(64).collect::<String>().into(),
            field,
            message: message.into(),
        }
    }

    /// The name of the rule, cut to 64 characters.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// The field of the rule, as it is called in serialized rules; `name` for the name itself, and
    /// `user_id` for the user who was to have a quota by it.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }
}
