use http::StatusCode;
use pm_core::Cidr;
use serde::{Deserialize, Serialize};

use super::Shared;
use super::answer::{Answer, Fault};
use super::bounds::{lasting, text};
use super::page::Page;
use super::service::Asked;
use crate::BlockList;
use crate::block::{Entry, Listed, Order};

/// The longest that something may last, in seconds: ten years.
const LONGEST: u64 = 10 * 366 * 24 * 60 * 60;

/// What is to be said about addresses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    expires_in_seconds: Option<u64>,
    #[serde(default)]
    effect: Said,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Said {
    Allow,
    #[default]
    Block,
}

/// What is said about addresses, as it is shown.
#[derive(Serialize)]
pub(super) struct Shown {
    prefix: String,
    effect: &'static str,
    cause: &'static str,
    reason: Box<str>,
    actor: Box<str>,
    since_micros: i64,
    until_micros: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hits: Option<u64>,
}

impl Shown {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            prefix: entry.prefix.to_string(),
            effect: entry.effect.as_str(),
            cause: entry.cause.as_str(),
            reason: entry.reason.clone(),
            actor: entry.actor.clone(),
            since_micros: entry.since_micros,
            until_micros: entry.until_micros,
            hits: None,
        }
    }

    fn listed(listed: &Listed) -> Self {
        Self {
            hits: Some(listed.hits),
            ..Self::of(&listed.entry)
        }
    }
}

impl Shared {
    fn list(&self) -> Result<&BlockList, Fault> {
        let list = self.blocks.as_ref();
        list.ok_or_else(|| Fault::not_given("list of blocks", "Admin::with_blocks"))
    }

    pub(super) fn blocks(&self, asked: &Asked<'_>) -> Result<Answer, Fault> {
        let (list, limit) = (self.list()?, asked.query.limit()?);
        let after = asked
            .query
            .parsed("after", "a block of addresses, such as 198.51.100.0/24")?;
        let items: Vec<Shown> = list
            .list(after, limit + 1)
            .iter()
            .map(Shown::listed)
            .collect();
        Answer::json(&Page::new(items, limit, |shown| shown.prefix.clone()))
    }

    pub(super) fn block(&self, prefix: Cidr) -> Result<Answer, Fault> {
        let listed = self.list()?.get(prefix).filter(|listed| listed.in_force);
        Answer::json(&Shown::listed(&listed.ok_or_else(nothing_said)?))
    }

    pub(super) async fn put_block(
        &self,
        prefix: Cidr,
        wanted: Wanted,
        asked: &Asked<'_>,
    ) -> Result<Answer, Fault> {
        let list = self.list()?;
        if list
            .get(prefix)
            .is_some_and(|listed| listed.is_configured())
        {
            return Err(configured());
        }
        let order = Order::on(prefix)
            .because(text("reason", wanted.reason)?)
            .by(asked.actor);
        let order = match wanted.expires_in_seconds {
            Some(seconds) => order.lasting(lasting("expires_in_seconds", seconds, LONGEST)?),
            None => order,
        };
        let entry = match wanted.effect {
            Said::Allow => list.allow(order).await?,
            Said::Block => list.block(order).await?,
        };
        Answer::json(&Shown::of(&entry))
    }

    pub(super) async fn lift_block(
        &self,
        prefix: Cidr,
        asked: &Asked<'_>,
    ) -> Result<Answer, Fault> {
        let list = self.list()?;
        if list.get(prefix).is_none() {
            // Another instance may just have said it.
            list.synchronize().await?;
        }
        match list.get(prefix) {
            None => return Err(nothing_said()),
            Some(listed) if listed.is_configured() => return Err(configured()),
            Some(_) => {}
        }
        let lifted = list.unblock(prefix, asked.actor).await?;
        lifted.map(|_| Answer::done()).ok_or_else(nothing_said)
    }
}

fn nothing_said() -> Fault {
    Fault::not_found(
        "nothing is said about exactly these addresses that could be taken back; wider and narrower \
         prefixes have words of their own",
    )
}

fn configured() -> Fault {
    Fault::new(
        StatusCode::CONFLICT,
        "the configuration lets exactly these addresses in: change it there",
    )
}
