use std::fmt;

use super::switch::state;
use super::{State, Switch};

/// Follows the state of a [`Switch`].
///
/// It knows the latest state, not every one: whoever is slow to ask misses what was in between.
pub struct Changes {
    switch: Switch,
    seen: u64,
}

impl Changes {
    pub(super) fn new(switch: Switch, seen: u64) -> Self {
        Self { switch, seen }
    }

    /// Waits until the switch has been thrown since the last call, and says where it stands now.
    ///
    /// If it was thrown more than once that may be where it stood before. Cancel-safe: a future
    /// that is dropped takes no change with it.
    pub async fn next(&mut self) -> State {
        let (switch, seen) = (&self.switch, self.seen);
        let generation = switch
            .bell()
            .wait_until(|| Some(switch.generation()).filter(|&current| current != seen))
            .await;
        self.seen = generation;
        state(generation)
    }

    /// Waits until the switch stands at `wanted`; at once if it does.
    ///
    /// Cancel-safe.
    pub async fn until(&mut self, wanted: State) {
        let switch = &self.switch;
        self.seen = switch
            .bell()
            .wait_until(|| Some(switch.generation()).filter(|&current| state(current) == wanted))
            .await;
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("switch", &self.switch)
            .finish_non_exhaustive()
    }
}
