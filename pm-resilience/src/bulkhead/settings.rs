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
#[non_exhaustive]
pub struct BulkheadSettings {
    /// How many at the same time. 32 by default.
    pub max: NonZeroU32,
    /// How many may wait for a permit. 0 by default: nobody waits.
    pub queue: u32,
    /// How long one may wait. 100 ms by default.
    #[cfg_attr(feature = "serde", serde(with = "pm_core::duration"))]
    pub wait: Duration,
}

impl BulkheadSettings {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with so many calls at the same time.
    #[must_use]
    pub const fn with_max(mut self, max: NonZeroU32) -> Self {
        self.max = max;
        self
    }

    /// The same, where so many others may wait.
    #[must_use]
    pub const fn with_queue(mut self, queue: u32) -> Self {
        self.queue = queue;
        self
    }

    /// The same, where one may wait for so long.
    #[must_use]
    pub const fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
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
