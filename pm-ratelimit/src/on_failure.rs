/// What the answer is when the store cannot decide.
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
    /// Yes: being available is worth more than the limit.
    #[default]
    Open,
}
