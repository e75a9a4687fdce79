use pm_core::Identity;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::answer::{Answer, Fault};
use super::page::Page;
use super::service::Asked;
use crate::{PolicyName, Quota};

/// What a user is to have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    quota: Quota,
}

/// What a user has.
#[derive(Serialize)]
struct Shown {
    rule: String,
    quota: Quota,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

/// By tenant, where there are tenants.
fn identity(user: &str, asked: &Asked<'_>) -> Identity {
    let identity = Identity::new(user);
    match asked.query.get("tenant") {
        Some(tenant) => identity.with_tenant(tenant),
        None => identity,
    }
}

impl Shared {
    pub(super) async fn user_quotas(&self, user: &str, asked: &Asked<'_>) -> Result<Answer, Fault> {
        let (book, user) = (self.book()?, identity(user, asked));
        let limit = asked.query.limit()?;
        let after: Option<String> = asked.query.get("after").map(ToOwned::to_owned);
        let after = after.map(PolicyName::try_from).transpose();
        let after = after.map_err(|_| {
            let detail = "the parameter \"after\" is the name of a rule";
            Fault::new(http::StatusCode::BAD_REQUEST, detail)
        })?;
        let after = after.map(|rule| (user.clone(), rule));
        let found = book.quotas(Some(&user), after, limit + 1).await?;
        let items = found.into_iter().map(|assigned| Shown {
            rule: assigned.rule.to_string(),
            quota: assigned.quota,
            version: Some(assigned.version),
        });
        let items = items.collect();
        Answer::json(&Page::new(items, limit, |shown: &Shown| shown.rule.clone()))
    }

    pub(super) async fn user_quota(
        &self,
        user: &str,
        rule: &str,
        asked: &Asked<'_>,
    ) -> Result<Answer, Fault> {
        let found = self.book()?.quota(rule, &identity(user, asked)).await?;
        let quota = found.ok_or_else(has_none)?;
        Answer::json(&Shown {
            rule: rule.to_owned(),
            quota,
            version: None,
        })
    }

    pub(super) async fn assign_quota(
        &self,
        user: &str,
        rule: &str,
        Wanted { quota }: Wanted,
        asked: &Asked<'_>,
    ) -> Result<Answer, Fault> {
        let user = identity(user, asked);
        let version = self.book()?.assign(rule, &user, quota).await?;
        Answer::json(&Shown {
            rule: rule.to_owned(),
            quota,
            version: Some(version),
        })
    }

    pub(super) async fn withdraw_quota(
        &self,
        user: &str,
        rule: &str,
        asked: &Asked<'_>,
    ) -> Result<Answer, Fault> {
        let withdrawn = self.book()?.withdraw(rule, &identity(user, asked)).await?;
        withdrawn.map(|_| Answer::done()).ok_or_else(has_none)
    }
}

fn has_none() -> Fault {
    Fault::not_found("the user has no quota of their own by this rule")
}
