use pm_core::Tick;

use super::MemoryStore;
use crate::store::LocalStore;
use crate::{Charge, Decision};

impl LocalStore for MemoryStore {
    fn decide_locally(&self, charges: &[Charge], now: Tick) -> Decision {
        self.decide_now(charges, now)
    }

    /// Without room for the bucket, those that share one owe what it does: that is counted in
    /// [`MemoryStats::overflowed`](super::MemoryStats::overflowed).
    fn mirror(&self, charge: &Charge, full_at: Tick, now: Tick) {
        self.table.raise(charge, full_at, now);
    }
}
