use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use pm_core::{Identity, Tick};

use super::{Lookup, UserQuotas};
use crate::key::{DigestKey, Keys};
use crate::subject::Who;
use crate::{Error, PolicyName, Quota, User};

/// Quotas of users in the memory of this process, to be assigned and taken back at any time. A
/// change counts from the next decision on.
///
/// It grows with the users that have one: who may assign them is for the caller to say.
pub struct MemoryUserQuotas {
    keys: Keys,
    quotas: RwLock<HashMap<u128, Quota>>,
}

impl MemoryUserQuotas {
    /// Nobody has a quota of their own.
    #[must_use]
    pub fn new() -> Self {
        Self {
            keys: Keys::new(DigestKey::random()),
            quotas: RwLock::default(),
        }
    }

    /// From now on the user has this quota by this rule. Returns the one they had.
    pub fn assign(&self, rule: &PolicyName, user: User<'_>, quota: Quota) -> Option<Quota> {
        let mut quotas = self.quotas.write().unwrap_or_else(PoisonError::into_inner);
        quotas.insert(self.key(rule, user), quota)
    }

    /// From now on the user has the quota of the rule. Returns the one they had.
    pub fn withdraw(&self, rule: &PolicyName, user: User<'_>) -> Option<Quota> {
        let mut quotas = self.quotas.write().unwrap_or_else(PoisonError::into_inner);
        quotas.remove(&self.key(rule, user))
    }

    /// The quota that the user has instead of the rule's.
    #[must_use]
    pub fn assigned(&self, rule: &PolicyName, user: User<'_>) -> Option<Quota> {
        let quotas = self.quotas.read().unwrap_or_else(PoisonError::into_inner);
        if quotas.is_empty() {
            return None;
        }
        quotas.get(&self.key(rule, user)).copied()
    }

    fn key(&self, rule: &PolicyName, user: User<'_>) -> u128 {
        let rule = self.keys.rule(rule);
        rule.wrapping_add(self.keys.subject(&Who::User(user)))
    }
}

impl Default for MemoryUserQuotas {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl UserQuotas for MemoryUserQuotas {
    fn try_quota(&self, rule: &PolicyName, user: User<'_>, _: Tick) -> Lookup {
        self.assigned(rule, user).into()
    }

    async fn quota(
        self: Arc<Self>,
        rule: PolicyName,
        user: Identity,
        _: Tick,
    ) -> Result<Option<Quota>, Error> {
        Ok(self.assigned(&rule, User::from(&user)))
    }
}

impl fmt::Debug for MemoryUserQuotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryUserQuotas").finish_non_exhaustive()
    }
}
