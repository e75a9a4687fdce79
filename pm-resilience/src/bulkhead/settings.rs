use std::num::NonZeroU32;
use std::time::Duration;

/// How many at the same time, and who waits. Plain data in which every value is valid; with the feature
/// `serde`, times are written like `250ms` or `5s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
pub struct BulkheadSettings {
    /// How many at the same time. 32 by default.
    pub max: NonZeroU32,
    /// How many may wait for a permit. 0 by default: nobody waits.
    pub queue: u32,
    /// How long one may wait. 100 ms by default.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub wait: Duration,
}

impl Default for BulkheadSettings {
    fn default() -> Self {
        Self {
            max: NonZeroU32::MIN.saturating_add(31),
            queue: 0,
            wait: Duration::from_millis(100),
        }
    }
}
