//! Quotas that single users have instead of the rule's.

mod cached;
mod memory;
mod remembered;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use pm_core::{Identity, Tick};

use crate::{Error, PolicyName, Quota, User};

pub use self::cached::CachedUserQuotas;
pub use self::memory::MemoryUserQuotas;
pub(crate) use self::remembered::Remembered;

/// Knows which users have a quota of their own, by which rule.
///
/// Asked for each request that a rule by user applies to, so an implementation that asks something
/// remote belongs into a [`CachedUserQuotas`]. A quota of one's own is held to as it is: roles do
/// not multiply it. It must not change from one moment to the next: what a user owes in tokens stays
/// owed, up to the burst of the new quota.
#[async_trait]
pub trait UserQuotas: fmt::Debug + Send + Sync + 'static {
    /// The quota without waiting, or that it cannot be told without. It does not block, and does
    /// not allocate.
    fn try_quota(&self, rule: &PolicyName, user: User<'_>, now: Tick) -> Lookup;

    /// The quota, or `None` if the user has that of the rule. Asked if
    /// [`try_quota`](Self::try_quota) would have to wait.
    ///
    /// Cancel-safe. It ends within a deadline of its own: the request waits for it.
    ///
    /// # Errors
    ///
    /// If it cannot be told. The user then has the quota of the rule, which is counted in
    /// [`Stats::lookups_failed`](crate::Stats::lookups_failed) and logged once a minute at most.
    async fn quota(
        self: Arc<Self>,
        rule: PolicyName,
        user: Identity,
        now: Tick,
    ) -> Result<Option<Quota>, Error>;
}

/// What is known at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The user has this quota.
    Own(Quota),
    /// The user has what the rule says.
    Rule,
    /// That takes waiting.
    Unknown,
}

impl From<Option<Quota>> for Lookup {
    fn from(quota: Option<Quota>) -> Self {
        quota.map_or(Self::Rule, Self::Own)
    }
}

#[cfg(test)]
fn _is_object_safe(_: &dyn UserQuotas) {}
