//! Rules and quotas of users as texts, which the scripts only compare and keep.

use pm_core::Identity;
use pm_core::redis::{Error as RedisError, Reply};

use super::{SEPARATOR, fields, number, text};
use crate::guard::row::{QuotaRow, RuleRow};
use crate::rule_book::{QuotaChange, SavedRule};
use crate::{Error, InvalidRules, PolicyName, Quota, Rule};

/// A user and a rule, in the order in which they are listed.
pub(super) fn place(user: &Identity, rule: &PolicyName) -> String {
    format!("{}{rule}", place_of_user(user))
}

pub(super) fn place_of_user(user: &Identity) -> String {
    let (tenant, user) = (user.tenant().unwrap_or_default(), user.subject());
    format!("{tenant}{SEPARATOR}{user}{SEPARATOR}")
}

pub(super) fn read_place(place: String) -> Result<(Identity, PolicyName), RedisError> {
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

pub(super) fn written_quota(quota: Quota) -> String {
    let QuotaRow {
        bucket_capacity,
        refill_rate,
        window_seconds,
        window_millis,
    } = quota.into();
    format!("{bucket_capacity} {refill_rate} {window_seconds} {window_millis}")
}

/// The quota, and the version that stands before it.
pub(super) fn read_quota(reply: Reply) -> Result<(Quota, u64), RedisError> {
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

/// The version of a change, and the change if it can be read.
pub(super) fn read_change(
    reply: Reply,
) -> Result<(u64, Result<QuotaChange, RedisError>), RedisError> {
    let [place, version, quota] = fields(reply)?;
    let version = number(version)?;
    let change = || {
        let (user, rule) = read_place(text(place)?)?;
        let quota = quota.some().map(read_quota).transpose()?;
        Ok(QuotaChange {
            user,
            rule,
            quota: quota.map(|(quota, _)| quota),
            version,
        })
    };
    Ok((version, change()))
}

/// The fields in their order; those that are not there are empty.
pub(super) fn written_rule(name: &PolicyName, rule: &Rule) -> Result<String, Error> {
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
        row.leased
            .map(|tokens| tokens.to_string())
            .unwrap_or_default(),
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
        leased: some(next()?)
            .map(|tokens| tokens.parse())
            .transpose()
            .ok()?,
        version: version.parse().ok()?,
    };
    next().is_none().then_some(row)
}

pub(super) fn read_rules(reply: Reply) -> Result<Result<Vec<SavedRule>, InvalidRules>, RedisError> {
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
