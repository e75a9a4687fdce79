use std::fmt;
use std::str::FromStr;

/// Whose bucket a rule charges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum By {
    /// The holder of an API key.
    ApiKey,
    /// The user, or else the API key, the connection, the custom subject, or else the client: the
    /// first of them that is known.
    #[default]
    Caller,
    /// The address of the client.
    Client,
    /// One connection.
    Connection,
    /// A kind of your own, by this name.
    Custom(String),
    /// One bucket for all.
    Everyone,
    /// The authenticated user.
    User,
}

/// The form that it is read from: `api-key`, `caller`, `client`, `connection`, `custom:kind`,
/// `everyone`, `user`.
impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiKey => "api-key",
            Self::Caller => "caller",
            Self::Client => "client",
            Self::Connection => "connection",
            Self::Custom(kind) => return write!(f, "custom:{kind}"),
            Self::Everyone => "everyone",
            Self::User => "user",
        })
    }
}

/// The text does not say whose bucket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rule is by user, client, caller, api-key, connection, everyone or custom:kind")]
pub struct InvalidBy(());

impl FromStr for By {
    type Err = InvalidBy;

    fn from_str(text: &str) -> Result<Self, InvalidBy> {
        Ok(match text {
            "api-key" => Self::ApiKey,
            "caller" => Self::Caller,
            "client" => Self::Client,
            "connection" => Self::Connection,
            "everyone" => Self::Everyone,
            "user" => Self::User,
            _ => match text.strip_prefix("custom:") {
                Some(kind) => Self::Custom(kind.to_owned()),
                None => return Err(InvalidBy(())),
            },
        })
    }
}
