use std::sync::Arc;

use async_trait::async_trait;
use pm_core::Identity;
use pm_core::redis::{Error as RedisError, Reply, Script};

use super::texts::{
    place, place_of_user, read_change, read_place, read_quota, read_rules, written_quota,
    written_rule,
};
use super::{RedisStore, SEPARATOR, failed, fields, new_epoch, number, text};
use crate::guard::WITHDRAWN;
use crate::rule_book::{Assigned, Changes, PAGE, Position, QuotaPage, RuleStore, SavedRules, Told};
use crate::{Error, PolicyName, Quota, Rule};

const EDIT: &str = concat!(include_str!("version.lua"), include_str!("edit.lua"));
const ASSIGN: &str = concat!(include_str!("version.lua"), include_str!("assign.lua"));

/// The steps of the store of rules.
pub(super) struct RuleScripts {
    edit: Script,
    assign: Script,
    quota: Script,
    quotas: Script,
    changes: Script,
}

impl RuleScripts {
    pub(super) fn new() -> Self {
        Self {
            edit: Script::new(EDIT),
            assign: Script::new(ASSIGN),
            quota: Script::new(include_str!("quota.lua")),
            quotas: Script::new(include_str!("quotas.lua")),
            changes: Script::new(include_str!("rule_changes.lua")),
        }
    }
}

#[async_trait]
impl RuleStore for RedisStore {
    async fn edit(
        self: Arc<Self>,
        edits: Vec<(PolicyName, Option<Rule>)>,
        at: Position,
    ) -> Result<Option<u64>, Error> {
        let keys = ["state", "rules"].map(|name| self.key(name));
        let mut call = (self.rules.edit.on(keys))
            .arg(new_epoch())
            .arg(at.epoch)
            .arg(at.version);
        for (name, rule) in &edits {
            let rule = match rule {
                Some(rule) => written_rule(name, rule)?,
                None => String::new(),
            };
            call = call.arg(name.as_str()).arg(rule);
        }
        let version = async { self.redis.run(&call).await?.some().map(number).transpose() };
        version.await.map_err(failed)
    }

    async fn assign(
        self: Arc<Self>,
        rule: PolicyName,
        user: Identity,
        quota: Quota,
    ) -> Result<Position, Error> {
        let assigned = self.change_quota(&rule, &user, written_quota(quota)).await;
        let assigned = assigned.and_then(|position| position.ok_or(RedisError::Unexpected));
        assigned.map_err(failed)
    }

    async fn withdraw(
        self: Arc<Self>,
        rule: PolicyName,
        user: Identity,
    ) -> Result<Option<Position>, Error> {
        let withdrawn = self.change_quota(&rule, &user, String::new()).await;
        withdrawn.map_err(failed)
    }

    async fn quota(self: Arc<Self>, rule: PolicyName, user: Identity) -> Result<Told, Error> {
        let keys = ["state", "quotas"].map(|name| self.key(name));
        let call = self
            .rules
            .quota
            .on(keys)
            .arg(new_epoch())
            .arg(place(&user, &rule));
        let told = async {
            let [epoch, version, quota] = fields(self.redis.run(&call).await?)?;
            let quota = quota.some().map(read_quota).transpose()?;
            Ok(Told {
                quota: quota.map(|(quota, _)| quota),
                position: position(epoch, version)?,
            })
        };
        told.await.map_err(failed)
    }

    async fn quotas(
        self: Arc<Self>,
        of: Option<Identity>,
        after: Option<(Identity, PolicyName)>,
        limit: usize,
    ) -> Result<Vec<Assigned>, Error> {
        // All texts of a user begin with this; the separator is below everything that is in one.
        let (mut from, to) = match of.as_ref().map(place_of_user) {
            Some(user) => (
                format!("[{user}"),
                format!("({} ", user.trim_end_matches(SEPARATOR)),
            ),
            None => ("-".to_owned(), "+".to_owned()),
        };
        if let Some((user, rule)) = after {
            let after = place(&user, &rule);
            if from.get(1..).is_none_or(|from| from < after.as_str()) {
                from = format!("({after}");
            }
        }
        let keys = ["quotas", "user-quotas"].map(|name| self.key(name));
        let call = self
            .rules
            .quotas
            .on(keys)
            .arg(from)
            .arg(to)
            .arg(limit.min(PAGE));
        let page = async {
            let page = self.redis.run(&call).await?.list()?;
            let page = page.chunks_exact(2).map(|row| {
                let (user, rule) = read_place(text(row[0].clone())?)?;
                let (quota, version) = read_quota(row[1].clone())?;
                Ok(Assigned {
                    user,
                    rule,
                    quota,
                    version,
                })
            });
            page.collect::<Result<Vec<_>, _>>()
        };
        page.await.map_err(failed)
    }

    async fn changes(self: Arc<Self>, since: Position) -> Result<Changes, Error> {
        let keys = ["state", "rules", "quotas", "quota-changes"].map(|name| self.key(name));
        let call = (self.rules.changes.on(keys))
            .arg(new_epoch())
            .arg(since.epoch)
            .arg(since.version)
            .arg(PAGE);
        let told = async {
            let [epoch, version, changed, rules, quotas] = fields(self.redis.run(&call).await?)?;
            let changed = number(changed)?;
            let rules = rules.some().map(|rules| {
                Ok(SavedRules {
                    version: changed,
                    rules: read_rules(rules)?,
                })
            });
            let quotas = quotas.some().map(|quotas| {
                let quotas = quotas.list()?.into_iter().map(read_change);
                quotas.collect::<Result<QuotaPage, _>>()
            });
            let position = position(epoch, version)?;
            Ok(Changes::new(
                position,
                rules.transpose()?,
                changed,
                quotas.transpose()?,
            ))
        };
        told.await.map_err(failed)
    }
}

impl RedisStore {
    /// An empty text takes it back.
    async fn change_quota(
        &self,
        rule: &PolicyName,
        user: &Identity,
        quota: String,
    ) -> Result<Option<Position>, RedisError> {
        let keys = [
            "state",
            "quotas",
            "user-quotas",
            "quota-changes",
            "withdrawn-quotas",
        ];
        let call = (self.rules.assign.on(keys.map(|name| self.key(name))))
            .arg(new_epoch())
            .arg(place(user, rule))
            .arg(quota)
            .arg(WITHDRAWN);
        let mut answer = self.redis.run(&call).await?.list()?.into_iter();
        let epoch = answer.next().unwrap_or(Reply::Nil);
        answer
            .next()
            .map(|version| position(epoch, version))
            .transpose()
    }
}

fn position(epoch: Reply, version: Reply) -> Result<Position, RedisError> {
    Ok(Position {
        epoch: number(epoch)?,
        version: number(version)?,
    })
}
