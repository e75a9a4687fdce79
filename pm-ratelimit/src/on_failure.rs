/// What the answer is when the store cannot decide.
///
/// It is said for each rule, and by a [`Charge`](crate::Charge) to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(::serde::Serialize, ::serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum OnFailure {
    /// No: what the limit protects is worth more than being available.
    Closed,
    /// What the local half of a [`Fallback`](crate::Fallback) says. Where the store has none, it is
    /// as with [`Open`](Self::Open).
    #[default]
    Local,
    /// Yes: being available is worth more than the limit.
    Open,
}

impl OnFailure {
    /// Its name: `closed`, `local` or `open`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Local => "local",
            Self::Open => "open",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Closed, Self::Local, Self::Open];
        all.into_iter()
            .find(|on_failure| on_failure.as_str() == name)
    }
}
