use pm_core::Tick;

use crate::{Charge, Decision, RateLimitStore};

/// A store that never has to wait, and that learns from another one what is owed: the local half of
/// a [`Fallback`](crate::Fallback).
pub trait LocalStore: RateLimitStore {
    /// Decides at once: what [`try_decide`](RateLimitStore::try_decide) says, without a way out.
    fn decide_locally(&self, charges: &[Charge], now: Tick) -> Decision;

    /// Another store says that the charge's bucket is full no earlier than at `full_at`, under the
    /// charge's quota. From then on it is not full any earlier here either.
    ///
    /// A bucket that owes more stays as it is, so that this only tightens. One that is under another
    /// quota goes over to the charge's first, with what it owes. Neither the cost of the charge nor
    /// its mode mean anything here. It is called for each decision of the other store: it does not
    /// block and does not allocate.
    fn mirror(&self, charge: &Charge, full_at: Tick, now: Tick);
}
