use std::borrow::Cow;

/// An emergency that cannot be declared as it is written, and why: the first fault that was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("profile {profile:?}, field `{field}`: {message}")]
pub struct InvalidEmergency {
    profile: Box<str>,
    field: &'static str,
    message: Cow<'static, str>,
}

impl InvalidEmergency {
    pub(super) fn new(
        profile: &str,
        field: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            profile: profile.chars().take(64).collect::<String>().into(),
            field,
            message: message.into(),
        }
    }

    /// The name of the profile, cut to 64 characters.
    #[must_use]
    pub fn profile(&self) -> &str {
        &self.profile
    }

    /// The field, as it is called in a serialized profile; `name` for the name itself, `automatic` for
    /// when it is entered.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }
}

/// There is no profile of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no profile of this name: name one that the emergency was built with")]
pub struct UnknownProfile(pub(super) ());
