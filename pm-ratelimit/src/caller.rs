//! What other layers may put into the extensions of a request, beside
//! [`Identity`](pm_core::Identity) and [`ClientIp`](pm_core::ClientIp).

use std::fmt;
use std::sync::Arc;

/// The API key that a request was authenticated with, for rules by [`By::ApiKey`](crate::By::ApiKey).
///
/// Put there a key that has been verified, and nothing that the client merely claims.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ApiKey(Arc<str>);

/// The connection that a request came in on, for rules by [`By::Connection`](crate::By::Connection):
/// a number that no other open connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// A subject of another kind, for rules by [`By::Custom`](crate::By::Custom).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CustomSubject {
    kind: &'static str,
    value: Arc<str>,
}

/// What a request costs, for all rules that apply to it. Without it, 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cost(pub u32);

impl ApiKey {
    /// This key.
    #[must_use]
    pub fn new(key: impl Into<Arc<str>>) -> Self {
        Self(key.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl CustomSubject {
    /// `value` is whose bucket it is; `kind` is what the rule names.
    #[must_use]
    pub fn new(kind: &'static str, value: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            value: value.into(),
        }
    }

    pub(crate) const fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn value(&self) -> &str {
        &self.value
    }
}

/// Without the key.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

/// Without the value.
impl fmt::Debug for CustomSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomSubject")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
