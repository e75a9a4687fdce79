/// How many take a [`Fallback`](super::Fallback) at the same time. Plain data in which every value is
/// valid. A number alone is [`at_most`](Self::at_most).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct FallbackSettings {
    /// So many calls; 0: none. Default 100.
    pub at_most: u32,
}

impl Default for FallbackSettings {
    fn default() -> Self {
        100.into()
    }
}

impl From<u32> for FallbackSettings {
    fn from(at_most: u32) -> Self {
        Self { at_most }
    }
}
