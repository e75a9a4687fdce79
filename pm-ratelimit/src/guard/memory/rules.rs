use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, MutexGuard, PoisonError};

use async_trait::async_trait;
use pm_core::Identity;

use super::{MemoryStore, new_position};
use crate::guard::WITHDRAWN;
use crate::rule_book::{
    Assigned, Changes, PAGE, Position, QuotaChange, RuleStore, SavedRule, SavedRules, Told,
};
use crate::{Error, PolicyName, Quota, Rule};

/// Tenant, user and rule.
type Key = (Option<Box<str>>, Box<str>, Box<str>);

pub(super) struct Rules {
    position: Position,
    /// The version of the last change of a rule.
    changed: u64,
    rules: BTreeMap<Box<str>, SavedRule>,
    /// With those that were withdrawn lately.
    quotas: BTreeMap<Key, QuotaChange>,
    by_version: BTreeMap<u64, Key>,
    /// The versions of those that were withdrawn.
    withdrawn: BTreeSet<u64>,
    /// The version of the last one that was forgotten.
    forgotten: u64,
}

impl Rules {
    pub(super) fn new() -> Self {
        Self {
            position: new_position(),
            changed: 0,
            rules: BTreeMap::new(),
            quotas: BTreeMap::new(),
            by_version: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            forgotten: 0,
        }
    }

    fn edit(&mut self, edits: Vec<(PolicyName, Option<Rule>)>) {
        let version = self.position.version + 1;
        for (name, rule) in edits {
            let key = name.as_str();
            if self.rules.get(key).map(|known| &known.rule) == rule.as_ref() {
                continue;
            }
            self.position.version = version;
            self.changed = version;
            match rule {
                Some(rule) => {
                    let key = key.into();
                    let saved = SavedRule {
                        name,
                        rule,
                        version,
                    };
                    self.rules.insert(key, saved);
                }
                None => {
                    self.rules.remove(key);
                }
            }
        }
    }

    fn quota(&self, key: &Key) -> Option<Quota> {
        self.quotas.get(key).and_then(|change| change.quota)
    }

    fn change(&mut self, user: Identity, rule: PolicyName, quota: Option<Quota>) -> Position {
        self.position.version += 1;
        let version = self.position.version;
        let key = key(&user, &rule);
        let change = QuotaChange {
            user,
            rule,
            quota,
            version,
        };
        if quota.is_none() {
            self.withdrawn.insert(version);
        }
        self.by_version.insert(version, key.clone());
        if let Some(known) = self.quotas.insert(key, change) {
            self.by_version.remove(&known.version);
            self.withdrawn.remove(&known.version);
        }
        while self.withdrawn.len() > WITHDRAWN
            && let Some(version) = self.withdrawn.pop_first()
        {
            self.forgotten = version;
            if let Some(key) = self.by_version.remove(&version) {
                self.quotas.remove(&key);
            }
        }
        self.position
    }
}

#[async_trait]
impl RuleStore for MemoryStore {
    async fn edit(
        self: Arc<Self>,
        edits: Vec<(PolicyName, Option<Rule>)>,
        at: Position,
    ) -> Result<Option<u64>, Error> {
        let mut rules = self.rules();
        if (at.epoch, at.version) != (rules.position.epoch, rules.changed) {
            return Ok(None);
        }
        rules.edit(edits);
        Ok(Some(rules.changed))
    }

    async fn assign(
        self: Arc<Self>,
        rule: PolicyName,
        user: Identity,
        quota: Quota,
    ) -> Result<Position, Error> {
        let mut rules = self.rules();
        if let Some(known) = rules.quotas.get(&key(&user, &rule))
            && known.quota == Some(quota)
        {
            return Ok(Position {
                version: known.version,
                ..rules.position
            });
        }
        Ok(rules.change(user, rule, Some(quota)))
    }

    async fn withdraw(
        self: Arc<Self>,
        rule: PolicyName,
        user: Identity,
    ) -> Result<Option<Position>, Error> {
        let mut rules = self.rules();
        let known = rules.quota(&key(&user, &rule));
        Ok(known.map(|_| rules.change(user, rule, None)))
    }

    async fn quota(self: Arc<Self>, rule: PolicyName, user: Identity) -> Result<Told, Error> {
        let rules = self.rules();
        Ok(Told {
            quota: rules.quota(&key(&user, &rule)),
            position: rules.position,
        })
    }

    async fn quotas(
        self: Arc<Self>,
        of: Option<Identity>,
        after: Option<(Identity, PolicyName)>,
        limit: usize,
    ) -> Result<Vec<Assigned>, Error> {
        let rules = self.rules();
        let first = of
            .as_ref()
            .map(|user| (owned(user.tenant()), user.subject().into(), "".into()));
        let after = after.map(|(user, rule)| key(&user, &rule)).max(first);
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let quotas = rules.quotas.range((after, Bound::Unbounded));
        let quotas = quotas.map(|(_, change)| change);
        let quotas =
            quotas.take_while(|change| of.as_ref().is_none_or(|user| change.user == *user));
        let assigned = quotas.filter_map(|change| change.clone().assigned());
        Ok(assigned.take(limit.min(PAGE)).collect())
    }

    async fn changes(self: Arc<Self>, since: Position) -> Result<Changes, Error> {
        let rules = self.rules();
        let known = since.known_of(rules.position);
        let told = known.is_none_or(|known| known < rules.changed);
        let told = told.then(|| SavedRules {
            version: rules.changed,
            rules: Ok(rules.rules.values().cloned().collect()),
        });
        let heard = known.filter(|known| *known >= rules.forgotten);
        let quotas = heard.map(|heard| {
            let newer = rules.by_version.range(heard + 1..).take(PAGE);
            newer
                .map(|(version, key)| (*version, Ok::<_, Error>(rules.quotas[key].clone())))
                .collect()
        });
        Ok(Changes::new(rules.position, told, rules.changed, quotas))
    }
}

impl MemoryStore {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(user: &Identity, rule: &PolicyName) -> Key {
    let (tenant, user) = (owned(user.tenant()), user.subject().into());
    (tenant, user, rule.as_str().into())
}

fn owned(text: Option<&str>) -> Option<Box<str>> {
    text.map(Into::into)
}
