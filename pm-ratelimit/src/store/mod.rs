//! Where buckets are kept.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod fallback;
#[cfg(feature = "redis")]
mod leases;
mod memory;
#[cfg(all(test, not(pm_loom)))]
mod rates;
#[cfg(feature = "redis")]
mod redis;
mod refusals;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use pm_core::Tick;
use pm_core::degrade::State;

use crate::{Charge, Charges, Decision, Error};

pub use self::fallback::{Fallback, FallbackStats, LocalStore};
#[cfg(feature = "redis")]
pub use self::leases::{LeaseStats, Leases};
pub use self::memory::{MemoryStats, MemoryStore};
#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
pub use self::refusals::Refusals;

/// Keeps buckets and decides on charges.
///
/// There is one question, a list of [charges](Charges), and one answer, a [`Decision`] with an
/// [`Outcome`](crate::Outcome) for each, in their order. There is no way to read a bucket and
/// write it back: whatever must not come apart happens inside one call. What an implementation
/// promises, the suite `store::conformance` (feature `conformance`) checks:
///
/// * **Token bucket.** A bucket starts full, holds [`Quota::capacity`](crate::Quota::capacity)
///   tokens, and one comes back every [`Quota::interval`](crate::Quota::interval), never faster.
///   A bucket that was never charged needs no creating, and one that is full again may be
///   forgotten. One that is not full is never forgotten, whatever else has to give way.
/// * **Changes.** A bucket is the same one under another quota, and its debt in tokens stays what it
///   is, except that none is larger than the new charge's [ceiling](Charge::ceiling) if that is
///   lower than the one before. The first charge with the new quota, whether it fits or not, but not
///   a [`Mode::Peek`], makes the change; until then the bucket drains at the old rate. Nothing is
///   rounded in the caller's favour.
/// * **All or nothing.** The decision admits if every charge in [`Mode::Enforce`] fits. Then all
///   of those are taken, and of the charges in [`Mode::Shadow`] those that fit. Otherwise nothing
///   is taken, from any bucket. [`Mode::Peek`] never takes and never decides. The same bucket
///   listed twice is charged twice, together or not at all. A store whose buckets are on several
///   servers may take and give back what a refusal must not take, so that others may be refused
///   meanwhile what is there right after; then no bucket is fuller than it would have been, one that
///   nobody else charged meanwhile is exactly as it would have been, and another lacks at most what
///   drains from it in that time.
/// * **Never more than the quota.** However many decide at the same time, no bucket gives out more
///   than it holds plus what has come back.
/// * **Never.** A cost above the capacity is refused as one that [never
///   fits](crate::Outcome::is_never), and only such a cost is. A cost of 0 always fits and takes
///   nothing.
/// * **Exact waits.** A charge that does not fit now fits after
///   [`Outcome::retry_after`](crate::Outcome::retry_after), not later and not earlier by the ticks of
///   the clock that the store decides by, if nobody else takes anything or gives it back. Remaining
///   tokens are those after the decision.
/// * **Time.** `now` is the caller's monotonic clock. A store in one process decides by it, and all
///   who share that store share the clock. Calls may come with a `now` that is older than one seen
///   before; that may refuse more, never admit more. A store that is shared by several processes
///   decides by a clock of its own, and uses `now` only for what it remembers locally.
/// * **Bounded waiting.** [`decide`](Self::decide) ends within a deadline of the store's own, with
///   [`Error::TimedOut`] if it must. It is sent at most once: a charge is never taken twice.
///
/// [`Mode::Enforce`]: crate::Mode::Enforce
/// [`Mode::Peek`]: crate::Mode::Peek
/// [`Mode::Shadow`]: crate::Mode::Shadow
#[async_trait]
pub trait RateLimitStore: fmt::Debug + Send + Sync + 'static {
    /// Decides at once, or says with `None` that it cannot without waiting; then nothing has been
    /// taken, and [`decide`](Self::decide) is to be called.
    ///
    /// It does not block and does not allocate. The charges are borrowed, because to move eight of
    /// them costs more than to decide on one.
    ///
    /// # Panics
    ///
    /// May panic if there are more than [`Charges::MAX`] charges.
    fn try_decide(&self, charges: &[Charge], now: Tick) -> Option<Decision>;

    /// Decides, and may wait for it.
    ///
    /// Cancel-safe: if the future is dropped the charges have been taken or not, all of them or
    /// none, and nothing else is left behind.
    ///
    /// # Errors
    ///
    /// If the store did not answer. The charges may have been taken nevertheless.
    async fn decide(self: Arc<Self>, charges: Charges, now: Tick) -> Result<Decision, Error>;

    /// Whether there is any use in asking it now.
    ///
    /// A store that has a [`Switch`](pm_core::degrade::Switch) in front of what may fail says where
    /// that stands. While it is [`State::Down`] a [`Fallback`] does not ask it, and that it fails is
    /// not logged: the switch has done so. Without a switch, as by default, it is always up: then it
    /// is asked each time, and each failure takes as long as it takes.
    fn state(&self) -> State {
        State::Up
    }
}

/// A store that is shared: what asks it need not be the only one that has it.
#[async_trait]
impl<S: RateLimitStore + ?Sized> RateLimitStore for Arc<S> {
    fn try_decide(&self, charges: &[Charge], now: Tick) -> Option<Decision> {
        (**self).try_decide(charges, now)
    }

    async fn decide(self: Arc<Self>, charges: Charges, now: Tick) -> Result<Decision, Error> {
        Self::clone(&self).decide(charges, now).await
    }

    fn state(&self) -> State {
        (**self).state()
    }
}

#[cfg(test)]
fn _is_object_safe(_: &dyn RateLimitStore) {}
