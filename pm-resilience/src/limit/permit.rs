use std::fmt;
use std::sync::Arc;

use pm_core::Tick;

use super::limit::Shared;
use crate::Outcome;

/// Leave to make one call. Dropping it gives it back; if nothing was said about how the call ended
/// and it was given up late, it counts as lost.
#[must_use = "it is given back when it is dropped"]
pub struct Permit {
    shared: Arc<Shared>,
    began: Tick,
    /// How many were under way when it was given, itself included.
    in_flight: u64,
    told: bool,
}

impl Permit {
    pub(super) const fn new(shared: Arc<Shared>, began: Tick, in_flight: u64) -> Self {
        Self {
            shared,
            began,
            in_flight,
            told: false,
        }
    }

    /// The call has ended. What has failed was lost, what is ignored says nothing.
    pub fn settle(mut self, outcome: Outcome) {
        self.tell(outcome);
    }

    /// The call took too long, and was lost.
    pub fn timed_out(self) {
        self.settle(Outcome::Failure);
    }

    /// How the call ended, though the permit is kept: for a response whose body is still to come. Only
    /// what is said first counts.
    pub fn tell(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let took = || self.shared.now().saturating_duration_since(self.began);
        match outcome {
            Outcome::Success => self.shared.ended(self.began, Some(took()), self.in_flight),
            Outcome::Failure | Outcome::Retryable { .. } => {
                self.shared.ended(self.began, None, self.in_flight);
            }
            Outcome::Ignored => {}
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.told && self.shared.is_lost(self.began) {
            self.tell(Outcome::Failure);
        }
        self.shared.give_back();
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("began", &self.began)
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}
