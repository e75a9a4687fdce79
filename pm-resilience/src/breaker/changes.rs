use std::fmt;
use std::pin::pin;

use super::{Breaker, State};

/// Follows the state of a [`Breaker`].
///
/// It knows the latest state, not every one: whoever is slow to ask misses what was in between.
pub struct Changes {
    breaker: Breaker,
    seen: u64,
}

impl Changes {
    pub(super) fn new(breaker: Breaker) -> Self {
        let seen = breaker.circuit().word().generation();
        Self { breaker, seen }
    }

    /// Waits until there was a transition since the last call, and says where the breaker stands now.
    ///
    /// A breaker whose time open is over tells when the next call comes in, not before. Cancel-safe:
    /// a future that is dropped takes no change with it.
    pub async fn next(&mut self) -> State {
        let circuit = self.breaker.circuit();
        loop {
            let mut changed = pin!(circuit.changed().notified());
            // Listens before it looks, so that no change is between the two.
            changed.as_mut().enable();
            let word = circuit.word();
            if word.generation() != self.seen {
                self.seen = word.generation();
                return word.state();
            }
            changed.await;
        }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}
