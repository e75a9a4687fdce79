use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pm_core::{Identity, Tick};

use super::bounds;
use super::{Position, QuotaChanges, RuleStore};
use crate::guard::Unreadable;
use crate::telemetry::RuleBookCounters;
use crate::user_quotas::Remembered;
use crate::{Error, Lookup, PolicyName, Quota, User, UserQuotas};

/// How long a store that has failed is not asked again, unless it has answered somebody else. Longer than
/// until it is next asked what has changed, and has failed again.
const PAUSE: Duration = Duration::from_secs(2);

/// The quotas of users that a store holds: remembered until the store says that they have changed.
#[derive(Debug)]
pub(super) struct SavedQuotas {
    store: Arc<dyn RuleStore>,
    known: Remembered<Entry>,
    /// Up to where the changes of the store have been heard. It is moved before what is remembered is
    /// looked at, so that what was read before that, and is remembered after, is not.
    heard: Mutex<Position>,
    /// Until when the store is not asked, in nanoseconds.
    pause: AtomicU64,
    counters: Arc<RuleBookCounters>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    quota: Option<Quota>,
    /// The version of the store at which it was so.
    version: u64,
}

impl SavedQuotas {
    pub(super) fn new(
        store: Arc<dyn RuleStore>,
        users: usize,
        counters: Arc<RuleBookCounters>,
    ) -> Self {
        Self {
            store,
            known: Remembered::new(users),
            heard: Mutex::default(),
            pause: AtomicU64::new(0),
            counters,
        }
    }

    /// What the store tells.
    pub(super) fn told(&self, changes: QuotaChanges, position: Position) {
        *self.heard() = position;
        match changes {
            QuotaChanges::Any => self.known.clear(),
            QuotaChanges::These(changes) => {
                for change in changes {
                    let key = self.known.key(&change.rule, User::from(&change.user));
                    let entry = Entry {
                        quota: change.quota,
                        version: change.version,
                    };
                    let newer = |known: Entry| {
                        if known.version < entry.version {
                            entry
                        } else {
                            known
                        }
                    };
                    self.known.change(key, |known| known.map(newer), |_| false);
                }
            }
        }
    }

    /// Remembers what was so in this position of the store; forgets what was known before, if it
    /// may have changed since.
    pub(super) fn remember(
        &self,
        rule: &PolicyName,
        user: User<'_>,
        quota: Option<Quota>,
        position: Position,
    ) {
        let entry = Entry {
            quota,
            version: position.version,
        };
        let change = |known: Option<Entry>| match known {
            Some(known) if known.version > entry.version => Some(known),
            _ => self.is_current(position).then_some(entry),
        };
        self.known
            .change(self.known.key(rule, user), change, |_| false);
    }

    /// Whether every later change will be heard of.
    fn is_current(&self, position: Position) -> bool {
        let heard = *self.heard();
        heard == Position::default()
            || heard.epoch == position.epoch && heard.version <= position.version
    }

    /// The store has failed: nobody is to wait for it.
    pub(super) fn rest(&self, now: Tick) {
        self.pause
            .store((now + PAUSE).as_nanos(), Ordering::Relaxed);
    }

    /// The store has answered.
    pub(super) fn go_on(&self) {
        self.pause.store(0, Ordering::Relaxed);
    }

    fn heard(&self) -> MutexGuard<'_, Position> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl UserQuotas for SavedQuotas {
    fn try_quota(&self, rule: &PolicyName, user: User<'_>, _: Tick) -> Lookup {
        match self.known.get(self.known.key(rule, user)) {
            Some(entry) => entry.quota.into(),
            None if !bounds::may_have_a_quota(user) => Lookup::Rule,
            None => Lookup::Unknown,
        }
    }

    async fn quota(
        self: Arc<Self>,
        rule: PolicyName,
        user: Identity,
        now: Tick,
    ) -> Result<Option<Quota>, Error> {
        if now.as_nanos() < self.pause.load(Ordering::Relaxed) {
            return Err(Error::unavailable(Resting));
        }
        self.counters.looked_up();
        let told = Arc::clone(&self.store)
            .quota(rule.clone(), user.clone())
            .await;
        let told = told.inspect_err(|error| {
            // What is about one user is no reason to leave others alone.
            if !Unreadable::is(error) {
                self.rest(now);
            }
        })?;
        self.remember(&rule, User::from(&user), told.quota, told.position);
        Ok(told.quota)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the store of rules has just failed and is left alone")]
struct Resting;
