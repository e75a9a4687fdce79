use std::sync::Arc;

use async_trait::async_trait;
use pm_core::Identity;
use pm_core::redis::{Error as RedisError, Reply, Script};

use super::{RedisStore, SEPARATOR, failed, fields, new_epoch, number, text};
use crate::guard::WITHDRAWN;
use crate::guard::row::{QuotaRow, RuleRow};
use crate::rule_book::{
    Assigned, Changes, PAGE, Position, QuotaChange, QuotaChanges, RuleStore, SavedRule, SavedRules,
    Told,
};
use crate::{Error, InvalidRules, PolicyName, Quota, Rule};

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
            let mut position = position(epoch, version)?;
            let rules = rules.some().map(|rules| {
                Ok(SavedRules {
                    version: number(changed)?,
                    rules: read_rules(rules)?,
                })
            });
            let quotas = match quotas.some() {
                None => QuotaChanges::Any,
                Some(quotas) => {
                    let quotas = quotas.list()?.into_iter().map(read_change);
                    let quotas: Vec<QuotaChange> = quotas.collect::<Result<_, _>>()?;
                    if let (PAGE, Some(last)) = (quotas.len(), quotas.last()) {
                        position.version = last.version;
                    }
                    QuotaChanges::These(quotas)
                }
            };
            Ok(Changes {
                position,
                rules: rules.transpose()?,
                quotas,
            })
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

/// A user and a rule, in the order in which they are listed.
fn place(user: &Identity, rule: &PolicyName) -> String {
    format!("{}{rule}", place_of_user(user))
}

fn place_of_user(user: &Identity) -> String {
    let (tenant, user) = (user.tenant().unwrap_or_default(), user.subject());
    format!("{tenant}{SEPARATOR}{user}{SEPARATOR}")
}

fn read_place(place: String) -> Result<(Identity, PolicyName), RedisError> {
    let mut parts = place.splitn(3, SEPARATOR);
    let mut next = || parts.next().ok_or(RedisError::Unexpected);
    let (tenant, user, rule) = (next()?, Identity::new(next()?), next()?);
    let rule = PolicyName::try_from(rule.to_owned()).map_err(|_| RedisError::Unexpected)?;
    let user = match tenant {
        "" => user,
        tenant => user.with_tenant(tenant),
    };
    Ok((user, rule))
}

fn written_quota(quota: Quota) -> String {
    let QuotaRow {
        bucket_capacity,
        refill_rate,
        window_seconds,
        window_millis,
    } = quota.into();
    format!("{bucket_capacity} {refill_rate} {window_seconds} {window_millis}")
}

/// The quota, and the version that stands before it.
fn read_quota(reply: Reply) -> Result<(Quota, u64), RedisError> {
    let text = text(reply)?;
    let (version, quota) = text.split_once(' ').ok_or(RedisError::Unexpected)?;
    let version = version.parse().map_err(|_| RedisError::Unexpected)?;
    let quota = quota_row(quota).and_then(|row| row.try_into().ok());
    Ok((quota.ok_or(RedisError::Unexpected)?, version))
}

fn quota_row(text: &str) -> Option<QuotaRow> {
    let mut numbers = text.split(' ').map(|number| number.parse().ok());
    let mut next = || numbers.next().flatten();
    Some(QuotaRow {
        bucket_capacity: next()?,
        refill_rate: next()?,
        window_seconds: next()?,
        window_millis: next()?,
    })
}

fn read_change(reply: Reply) -> Result<QuotaChange, RedisError> {
    let [place, version, quota] = fields(reply)?;
    let (user, rule) = read_place(text(place)?)?;
    let quota = quota.some().map(read_quota).transpose()?;
    Ok(QuotaChange {
        user,
        rule,
        quota: quota.map(|(quota, _)| quota),
        version: number(version)?,
    })
}

/// The fields in their order; those that are not there are empty.
fn written_rule(name: &PolicyName, rule: &Rule) -> Result<String, Error> {
    let row = RuleRow::new(name, rule, 0).map_err(Error::unavailable)?;
    let quota = rule.quota.map(written_quota).unwrap_or_default();
    let fields = [
        row.endpoint_pattern.unwrap_or_default(),
        row.http_method.unwrap_or_default(),
        row.priority.to_string(),
        quota,
        row.subject,
        row.cost.map(|cost| cost.to_string()).unwrap_or_default(),
        row.stage.unwrap_or_default(),
        row.roles,
        u8::from(row.shadow).to_string(),
        row.if_store_fails,
    ];
    Ok(fields.join(&SEPARATOR.to_string()))
}

/// `None` if there are other fields than these.
fn read_rule(name: &str, text: &str) -> Option<RuleRow> {
    let (version, rule) = text.split_once(' ')?;
    let mut fields = rule.split(SEPARATOR).map(ToOwned::to_owned);
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let mut next = || fields.next();
    let row = RuleRow {
        name: name.to_owned(),
        endpoint_pattern: some(next()?),
        http_method: some(next()?),
        priority: next()?.parse().ok()?,
        quota: quota_row(&next()?)?,
        subject: next()?,
        cost: some(next()?).map(|cost| cost.parse()).transpose().ok()?,
        stage: some(next()?),
        roles: next()?,
        shadow: next()? == "1",
        if_store_fails: next()?,
        version: version.parse().ok()?,
    };
    next().is_none().then_some(row)
}

fn read_rules(reply: Reply) -> Result<Result<Vec<SavedRule>, InvalidRules>, RedisError> {
    let mut rules = reply.list()?.into_iter();
    let mut rows = Vec::new();
    while let (Some(name), Some(rule)) = (rules.next(), rules.next()) {
        let (name, rule) = (text(name)?, text(rule)?);
        rows.push(read_rule(&name, &rule).ok_or_else(|| {
            let message =
                "another version of this crate has written it, and this one cannot read it";
            InvalidRules::new(&name, "name", message)
        }));
    }
    let rows: Result<Vec<RuleRow>, _> = rows.into_iter().collect();
    Ok(rows.and_then(|mut rows| {
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows.into_iter().map(RuleRow::read).collect()
    }))
}

fn position(epoch: Reply, version: Reply) -> Result<Position, RedisError> {
    Ok(Position {
        epoch: number(epoch)?,
        version: number(version)?,
    })
}
