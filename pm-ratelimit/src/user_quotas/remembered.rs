use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::key::{DigestKey, Keys};
use crate::subject::Who;
use crate::{PolicyName, User};

/// More shards than this gain nothing.
const SHARDS: usize = 64;

/// Something about users and rules, of a bounded number. When there is no more room somebody is
/// forgotten.
pub(crate) struct Remembered<T> {
    keys: Keys,
    /// The most entries in one shard.
    room: usize,
    shards: Box<[Mutex<HashMap<u128, T>>]>,
}

/// A user and a rule.
#[derive(Clone, Copy)]
pub(crate) struct UserAndRule(u128);

impl<T: Copy> Remembered<T> {
    pub(crate) fn new(users: usize) -> Self {
        let shards = (users / 16).clamp(1, SHARDS);
        Self {
            keys: Keys::new(DigestKey::random()),
            room: users.div_ceil(shards).max(1),
            shards: (0..shards).map(|_| Mutex::default()).collect(),
        }
    }

    pub(crate) fn key(&self, rule: &PolicyName, user: User<'_>) -> UserAndRule {
        let rule = self.keys.rule(rule);
        UserAndRule(rule.wrapping_add(self.keys.subject(&Who::User(user))))
    }

    pub(crate) fn get(&self, key: UserAndRule) -> Option<T> {
        self.shard(key).get(&key.0).copied()
    }

    /// Makes something else of what is known, in one step. Whatever is over goes first when room is
    /// needed.
    pub(crate) fn change(
        &self,
        key: UserAndRule,
        change: impl FnOnce(Option<T>) -> Option<T>,
        is_over: impl Fn(&T) -> bool,
    ) {
        let mut entries = self.shard(key);
        let known = entries.get(&key.0).copied();
        let Some(new) = change(known) else {
            entries.remove(&key.0);
            return;
        };
        if entries.len() >= self.room && known.is_none() {
            entries.retain(|_, entry| !is_over(entry));
            // Whoever the map happens to begin with: nobody can choose who that is.
            if entries.len() >= self.room
                && let Some(victim) = entries.keys().next().copied()
            {
                entries.remove(&victim);
            }
        }
        entries.insert(key.0, new);
    }

    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            Self::lock(shard).clear();
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| Self::lock(shard).len())
            .sum()
    }

    fn shard(&self, key: UserAndRule) -> MutexGuard<'_, HashMap<u128, T>> {
        Self::lock(&self.shards[(key.0 >> 64) as usize % self.shards.len()])
    }

    fn lock(shard: &Mutex<HashMap<u128, T>>) -> MutexGuard<'_, HashMap<u128, T>> {
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Remembered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").finish_non_exhaustive()
    }
}
