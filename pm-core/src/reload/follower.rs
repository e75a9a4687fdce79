use std::fmt;
use std::sync::Arc;

use super::{InvalidSetting, Setting};

/// Follows the value of a [`Setting`].
///
/// It knows the latest value, not every one: whoever is slow to ask misses what was in between.
pub struct Follower<T, E = InvalidSetting> {
    setting: Setting<T, E>,
    seen: u64,
}

impl<T, E> Follower<T, E> {
    pub(super) fn new(setting: Setting<T, E>) -> Self {
        let seen = setting.version();
        Self { setting, seen }
    }

    /// Waits until there is a value that this follower has not seen yet.
    ///
    /// It never ends by itself: a follower keeps its setting alive. Cancel-safe: a future that is
    /// dropped takes no value with it.
    pub async fn next(&mut self) -> Arc<T> {
        let (version, value) = self.setting.newer_than(self.seen).await;
        self.seen = version;
        value
    }

    /// The version that was seen last.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.seen
    }
}

impl<T, E> fmt::Debug for Follower<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
