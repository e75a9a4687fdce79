use std::time::Duration;

use pm_core::degrade::State;
use serde::Serialize;

use super::Shared;
use super::answer::{Answer, Fault};
use super::emergency::ShownDeclared;
use crate::{BlockList, Limiter, RuleBook, RuleDecisions, Violations};

/// Offenders that are shown.
const OFFENDERS: usize = 20;

/// What has been counted, of this instance since it was started unless something else is said; `null`
/// is what the deployment does not have.
#[derive(Serialize)]
struct Metrics {
    decisions: Option<Vec<Decisions>>,
    limiter: Counted,
    store: Store,
    violations: Option<Watched>,
    blocks: Option<Blocks>,
    rules: Option<Rules>,
    emergency: Option<ShownDeclared>,
}

#[derive(Serialize)]
struct Decisions {
    rule: String,
    allowed: u64,
    refused: u64,
    reduced: u64,
    never: u64,
    shadow_refused: u64,
    failed_open: u64,
    failed_closed: u64,
}

#[derive(Serialize)]
struct Counted {
    degraded: u64,
    failed: u64,
    lookups_failed: u64,
    shadow_refused: u64,
    unidentified: u64,
}

#[derive(Serialize)]
struct Store {
    state: &'static str,
}

#[derive(Serialize)]
struct Watched {
    seen: u64,
    dropped: u64,
    alerts: u64,
    /// The most frequent first.
    last_hour: Vec<Endpoint>,
    top_offenders: Vec<Offender>,
}

#[derive(Serialize)]
struct Endpoint {
    endpoint: Box<str>,
    count: u64,
}

#[derive(Serialize)]
struct Offender {
    prefix: String,
    count: u64,
    /// How much too high the count may be.
    error: u64,
}

#[derive(Serialize)]
struct Blocks {
    hits: u64,
    automatic: u64,
    no_room: u64,
    store_failures: u64,
    /// How long ago the store answered.
    behind_seconds: Option<f64>,
}

#[derive(Serialize)]
struct Rules {
    version: u64,
    /// Why the stored rules are not in force here.
    refused: Option<String>,
    lookups: u64,
    store_failures: u64,
    behind_seconds: Option<f64>,
}

impl Shared {
    pub(super) fn metrics(&self) -> Result<Answer, Fault> {
        let limiter = &self.limiter;
        let decisions = limiter.decisions();
        let emergency = limiter.emergency().and_then(crate::Emergency::state);
        Answer::json(&Metrics {
            decisions: decisions.map(|rules| rules.into_iter().map(Decisions::from).collect()),
            limiter: counted(limiter),
            store: Store {
                state: match limiter.settings().store.state() {
                    State::Down => "down",
                    State::Up => "up",
                },
            },
            violations: self.violations.as_ref().map(watched),
            blocks: self.blocks.as_ref().map(blocks),
            rules: self.book.as_ref().map(rules),
            emergency: emergency.map(ShownDeclared::from),
        })
    }
}

impl From<RuleDecisions> for Decisions {
    fn from(counted: RuleDecisions) -> Self {
        Self {
            rule: counted.rule.to_string(),
            allowed: counted.allowed,
            refused: counted.refused,
            reduced: counted.reduced,
            never: counted.never,
            shadow_refused: counted.shadow_refused,
            failed_open: counted.failed_open,
            failed_closed: counted.failed_closed,
        }
    }
}

fn counted(limiter: &Limiter) -> Counted {
    let stats = limiter.stats();
    Counted {
        degraded: stats.degraded,
        failed: stats.failed,
        lookups_failed: stats.lookups_failed,
        shadow_refused: stats.shadow_refused,
        unidentified: stats.unidentified,
    }
}

fn watched(violations: &Violations) -> Watched {
    let stats = violations.stats();
    let last_hour = violations.last_hour().into_iter().map(|counted| Endpoint {
        endpoint: counted.endpoint,
        count: counted.count,
    });
    let offenders = violations.top_offenders(OFFENDERS).into_iter();
    let top_offenders = offenders.map(|offender| Offender {
        prefix: offender.prefix.to_string(),
        count: offender.count,
        error: offender.error,
    });
    Watched {
        seen: stats.seen,
        dropped: stats.dropped,
        alerts: stats.alerts,
        last_hour: last_hour.collect(),
        top_offenders: top_offenders.collect(),
    }
}

fn blocks(list: &BlockList) -> Blocks {
    let stats = list.stats();
    Blocks {
        hits: stats.hits,
        automatic: stats.automatic,
        no_room: stats.no_room,
        store_failures: stats.store_failures,
        behind_seconds: list.behind().map(|behind| behind.as_secs_f64()),
    }
}

fn rules(book: &RuleBook) -> Rules {
    let stats = book.stats();
    Rules {
        version: book.version(),
        refused: book.refused().map(|refused| refused.to_string()),
        lookups: stats.lookups,
        store_failures: stats.store_failures,
        behind_seconds: book.behind().as_ref().map(Duration::as_secs_f64),
    }
}
