//! Rules and quotas as the columns of a table.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::rule_book::SavedRule;
use crate::rules::Multiplier;
use crate::{InvalidQuota, InvalidRules, OnFailure, PolicyName, Quota, Rule, Stage};

/// A rule, field by field. Texts have no control characters, but for the line breaks between roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleRow {
    pub(super) name: String,
    pub(super) endpoint_pattern: Option<String>,
    pub(super) http_method: Option<String>,
    pub(super) priority: i32,
    pub(super) quota: QuotaRow,
    pub(super) subject: String,
    pub(super) cost: Option<i64>,
    pub(super) stage: Option<String>,
    /// One on a line: the multiplier, a space, and the name.
    pub(super) roles: String,
    pub(super) shadow: bool,
    pub(super) if_store_fails: String,
    pub(super) leased: Option<i64>,
    pub(super) version: i64,
}

/// A quota, number by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuotaRow {
    pub(super) bucket_capacity: i64,
    pub(super) refill_rate: i64,
    pub(super) window_seconds: i64,
    /// What the window has beyond whole seconds.
    pub(super) window_millis: i64,
}

/// A rule that says not how much.
#[derive(Debug, thiserror::Error)]
#[error("a rule without a quota is not one that a store holds")]
pub(super) struct NoQuota;

impl RuleRow {
    pub(super) fn new(name: &PolicyName, rule: &Rule, version: u64) -> Result<Self, NoQuota> {
        // By name, so that no field is forgotten.
        let Rule {
            on,
            by,
            quota,
            cost,
            priority,
            stage,
            roles,
            shadow,
            if_store_fails,
            leased,
        } = rule;
        let (http_method, endpoint_pattern) = match on.as_deref() {
            None => (None, None),
            Some(on) => match on.split_once(' ') {
                // A path may have spaces in it, too.
                Some((method, path)) if !method.contains('/') => (Some(method), Some(path)),
                _ => (None, Some(on)),
            },
        };
        let roles = roles.iter();
        let roles: Vec<String> = roles
            .map(|(role, multiplier)| format!("{multiplier} {role}"))
            .collect();
        Ok(Self {
            name: name.as_str().to_owned(),
            endpoint_pattern: endpoint_pattern.map(ToOwned::to_owned),
            http_method: http_method.map(ToOwned::to_owned),
            priority: *priority,
            quota: quota.ok_or(NoQuota)?.into(),
            subject: by.to_string(),
            cost: cost.map(i64::from),
            stage: stage.map(|stage| stage.as_str().to_owned()),
            roles: roles.join("\n"),
            shadow: *shadow,
            if_store_fails: if_store_fails.as_str().to_owned(),
            leased: leased.map(i64::from),
            version: version.cast_signed(),
        })
    }

    /// The rule; or, if another version of this crate has written it, what cannot be read.
    pub(super) fn read(self) -> Result<SavedRule, InvalidRules> {
        let invalid = |field, message: String| InvalidRules::new(&self.name, field, message);
        let name = PolicyName::try_from(self.name.clone())
            .map_err(|error| invalid("name", error.to_string()))?;
        let on = match (self.http_method, self.endpoint_pattern) {
            (Some(method), Some(pattern)) => Some(format!("{method} {pattern}")),
            (_, pattern) => pattern,
        };
        let by = self.subject.parse();
        let quota = Quota::try_from(self.quota);
        let cost = self.cost.map(u32::try_from).transpose();
        let stage = self.stage.map(|stage| Stage::named(&stage).ok_or(stage));
        let if_store_fails = OnFailure::named(&self.if_store_fails);
        let leased = self.leased.map(u32::try_from).transpose();
        let unknown = |what: &str| format!("{what:?} is not known to this version");
        let rule = Rule {
            on,
            by: by.map_err(|_| invalid("by", unknown(&self.subject)))?,
            quota: Some(quota.map_err(|error| invalid("quota", error.to_string()))?),
            cost: cost.map_err(|error| invalid("cost", error.to_string()))?,
            priority: self.priority,
            stage: (stage.transpose()).map_err(|stage| invalid("stage", unknown(&stage)))?,
            roles: roles(&self.roles).ok_or_else(|| invalid("roles", unknown(&self.roles)))?,
            shadow: self.shadow,
            if_store_fails: if_store_fails
                .ok_or_else(|| invalid("if_store_fails", unknown(&self.if_store_fails)))?,
            leased: leased.map_err(|error| invalid("leased", error.to_string()))?,
        };
        Ok(SavedRule {
            name,
            rule,
            version: self.version.cast_unsigned(),
        })
    }
}

fn roles(text: &str) -> Option<BTreeMap<String, Multiplier>> {
    let role = |line: &str| {
        let (multiplier, role) = line.split_once(' ')?;
        Some((role.to_owned(), multiplier.parse().ok()?))
    };
    text.lines().map(role).collect()
}

impl From<Quota> for QuotaRow {
    fn from(quota: Quota) -> Self {
        Self {
            bucket_capacity: quota.capacity().into(),
            refill_rate: quota.tokens().into(),
            // At most 366 days.
            window_seconds: quota.period().as_secs().cast_signed(),
            window_millis: quota.period().subsec_millis().into(),
        }
    }
}

impl TryFrom<QuotaRow> for Quota {
    type Error = InvalidQuota;

    fn try_from(row: QuotaRow) -> Result<Self, InvalidQuota> {
        let tokens = |number| u32::try_from(number).map_err(|_| InvalidQuota::Syntax);
        let time = |number| u64::try_from(number).map_err(|_| InvalidQuota::Period);
        let period = Duration::from_secs(time(row.window_seconds)?)
            .checked_add(Duration::from_millis(time(row.window_millis)?))
            .ok_or(InvalidQuota::Period)?;
        Self::try_new(
            tokens(row.refill_rate)?,
            period,
            tokens(row.bucket_capacity)?,
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::By;

    fn some_rule() -> impl Strategy<Value = Rule> {
        let on = prop_oneof![
            Just(None),
            "(GET |X-Y |)/[a-z{}* ]{0,20}".prop_map(Some),
            "[a-z.*]{1,20}".prop_map(Some),
        ];
        let by = prop_oneof![
            Just(By::User),
            Just(By::Caller),
            Just(By::ApiKey),
            "[ -~ü]{1,9}".prop_map(By::Custom),
        ];
        let quota = (1u32..=1_000, 1_000u64..31_622_400_000, any::<u32>()).prop_map(
            |(tokens, millis, burst)| {
                // What is back after fifty years.
                let most = 50 * 366 * 86_400_000 * u64::from(tokens) / millis;
                let burst = u64::from(burst) % most + 1;
                let burst = burst
                    .try_into()
                    .expect("it is no larger than what it was made of");
                Quota::try_new(tokens, Duration::from_millis(millis), burst).expect("a quota")
            },
        );
        let roles = proptest::collection::btree_map("[ -~ü]{1,9}", (0u32.., 1u32..), 0..4);
        let stage = proptest::option::of(prop_oneof![Just(Stage::Edge), Just(Stage::Identified)]);
        let how = prop_oneof![
            Just(OnFailure::Closed),
            Just(OnFailure::Local),
            Just(OnFailure::Open)
        ];
        let rest = (
            any::<Option<u32>>(),
            any::<i32>(),
            stage,
            any::<bool>(),
            how,
            any::<Option<u32>>(),
        );
        (on, by, quota, roles, rest).prop_map(|(on, by, quota, roles, rest)| {
            let (cost, priority, stage, shadow, if_store_fails, leased) = rest;
            let roles = roles.into_iter().map(|(role, (times, of))| {
                let of = of.try_into().expect("it is not 0");
                (role, Multiplier::ratio(times, of))
            });
            Rule {
                on,
                by,
                quota: Some(quota),
                cost,
                priority,
                stage,
                roles: roles.collect(),
                shadow,
                if_store_fails,
                leased,
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(rule in some_rule(), version in 0u64..1 << 62) {
            let name = PolicyName::from_static("login");
            let row = RuleRow::new(&name, &rule, version).expect("it has a quota");
            prop_assert_eq!(row.read(), Ok(SavedRule { name, rule, version }));
        }
    }

    #[test]
    fn a_pattern_is_in_the_columns_where_one_looks_for_it() {
        let columns = |on: &str| {
            let rule = Rule::on(on).quota(Quota::per_minute(5).burst(3));
            let row = RuleRow::new(&PolicyName::from_static("a"), &rule, 1).expect("a quota");
            (row.http_method, row.endpoint_pattern)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(columns("POST /login"), (some("POST"), some("/login")));
        assert_eq!(columns("/a b/{id}"), (None, some("/a b/{id}")));
        assert_eq!(columns("task.*"), (None, some("task.*")));
        let odd = Quota::new(10, Duration::from_millis(90_500)).burst(3);
        let row = QuotaRow::from(odd);
        assert_eq!((row.bucket_capacity, row.refill_rate), (3, 10));
        assert_eq!((row.window_seconds, row.window_millis), (90, 500));
    }

    #[test]
    fn what_another_version_has_written_is_refused_by_name_and_field() {
        let rule = Rule::always().quota(Quota::per_minute(5));
        let row = RuleRow::new(&PolicyName::from_static("a"), &rule, 1).expect("a quota");
        type Change = fn(&mut RuleRow);
        let changes: [(&str, Change); 8] = [
            ("by", |row| row.subject = "planet".into()),
            ("quota", |row| row.quota.window_millis = -1),
            ("quota", |row| row.quota.refill_rate = i64::MAX),
            ("cost", |row| row.cost = Some(-1)),
            ("stage", |row| row.stage = Some("later".into())),
            ("roles", |row| row.roles = "admin".into()),
            ("if_store_fails", |row| row.if_store_fails = "maybe".into()),
            ("leased", |row| row.leased = Some(-1)),
        ];
        for (field, change) in changes {
            let mut row = row.clone();
            change(&mut row);
            let invalid = row.read().expect_err(field);
            assert_eq!((invalid.rule(), invalid.field()), ("a", field));
        }
    }
}
