use super::shard::Shard;
use crate::sync::{AtomicU64, Ordering};

/// A charge that was taken, and how to put it back.
pub(in crate::store::memory) struct Receipt<'a> {
    pub(super) word: &'a AtomicU64,
    pub(super) before: u64,
    pub(super) after: u64,
    /// None for a shared bucket, which belongs to nobody and is never converted.
    pub(super) tenancy: Option<Tenancy<'a>>,
}

/// Whose place it was when the charge was taken.
pub(super) struct Tenancy<'a> {
    pub(super) shard: &'a Shard,
    pub(super) mark: &'a AtomicU64,
    pub(super) tenant: u64,
    pub(super) conversions: u64,
}

impl Receipt<'_> {
    /// Whether the bucket is as it was before the charge; if it has changed since, it stays.
    pub(in crate::store::memory) fn put_back(self) -> bool {
        // Held until the end, so that nobody moves in or converts in between.
        let _guard = match &self.tenancy {
            None => None,
            Some(tenancy) => {
                let guard = tenancy.shard.lock();
                let conversions = tenancy.shard.conversions.load(Ordering::Relaxed);
                if tenancy.mark.load(Ordering::Relaxed) != tenancy.tenant
                    || conversions != tenancy.conversions
                {
                    return false;
                }
                Some(guard)
            }
        };
        self.word
            .compare_exchange(self.after, self.before, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}
