//! What is counted, and what the counts are called. The only lines that know the `metrics` facade.
//!
//! The names are there without the feature, for dashboards and tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::PolicyName;
use crate::block::{Cause, Effect};
use crate::emergency::Declared;
use crate::tally::{RuleDecisions, Tally};
use crate::violations::Scope;

/// Counter: decisions, by `policy` (the name of the rule) and `outcome`: `allowed`, `refused`,
/// `reduced` (refused by what an emergency has left), `never`, `shadow_refused`, `failed_open` or
/// `failed_closed`. A decision by several rules counts once for each: as allowed for all of them, or as
/// refused for those that refused.
pub const DECISIONS: &str = "pm_ratelimit_decisions_total";

/// Counter: decisions that the store's fallback made, by `policy`, once for each rule that applies.
/// What became of them is in [`DECISIONS`], too.
pub const DEGRADED: &str = "pm_ratelimit_degraded_total";

/// Counter: times that a rule did not apply because the subject it is by was not known, by `policy`.
pub const UNIDENTIFIED: &str = "pm_ratelimit_unidentified_total";

/// Counter: look-ups of quotas of users that failed.
pub const LOOKUP_FAILURES: &str = "pm_ratelimit_lookup_failures_total";

/// Counter: changes of rules, by `outcome`: `applied` or `refused`.
pub const RELOADS: &str = "pm_ratelimit_reloads_total";

/// Counter: emergencies that were declared, by `profile` and `cause`: `automatic` or `manual`.
pub const EMERGENCIES: &str = "pm_ratelimit_emergencies_total";

/// Gauge: 1 while an emergency of this `profile` is in force, 0 afterwards.
pub const EMERGENCY: &str = "pm_ratelimit_emergency";

/// Counter: violations, which are refusals for a quota or a limit.
pub const VIOLATIONS: &str = "pm_ratelimit_violations_total";

/// Counter: violations that did not reach the store.
pub const VIOLATIONS_DROPPED: &str = "pm_ratelimit_violations_dropped_total";

/// Counter: alerts about an address, by `scope`: `instance` or `fleet`.
pub const VIOLATION_ALERTS: &str = "pm_ratelimit_violation_alerts_total";

/// Counter: requests and other look-ups of blocked addresses.
pub const BLOCKED: &str = "pm_ratelimit_blocked_total";

/// Counter: blocks that this instance has imposed, by `cause`: `automatic` or `manual`.
pub const BLOCKS: &str = "pm_ratelimit_blocks_total";

/// Counter: times that the store of blocks did not answer.
pub const BLOCK_STORE_FAILURES: &str = "pm_ratelimit_block_store_failures_total";

/// Counter: times that the store of rules did not answer when it was asked what has changed.
pub const RULE_STORE_FAILURES: &str = "pm_ratelimit_rule_store_failures_total";

/// Counter: look-ups of quotas of users in the store of rules, because nothing was remembered.
pub const QUOTA_LOOKUPS: &str = "pm_ratelimit_quota_lookups_total";

/// Counter: tokens that were leased, by `event`: `taken` ahead from their buckets, `returned` to them
/// unspent, or `lost`.
pub const LEASED: &str = "pm_ratelimit_leased_tokens_total";

/// Gauge: tokens that this instance holds and may spend without asking, once a second.
pub const LEASES_OUTSTANDING: &str = "pm_ratelimit_leases_outstanding_tokens";

/// What became of a rule in a decision.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(crate) enum Result {
    Allowed,
    FailedClosed,
    FailedOpen,
    Never,
    Reduced,
    Refused,
    ShadowRefused,
}

impl Result {
    pub(crate) const COUNT: usize = 7;
}

/// The outcomes, in the order of [`Result`].
#[cfg(feature = "metrics")]
const RESULTS: [&str; Result::COUNT] = [
    "allowed",
    "failed_closed",
    "failed_open",
    "never",
    "reduced",
    "refused",
    "shadow_refused",
];

/// The counters of one rule. They are made when the rules are, by the recorder that is installed
/// then: to count is to add to an atomic number.
pub(crate) struct RuleMetrics {
    /// Of a limiter that [counts](crate::LimiterBuilder::count_decisions).
    tally: Option<Arc<Tally>>,
    #[cfg(feature = "metrics")]
    decisions: [metrics::Counter; RESULTS.len()],
    #[cfg(feature = "metrics")]
    degraded: metrics::Counter,
    #[cfg(feature = "metrics")]
    unidentified: metrics::Counter,
}

impl RuleMetrics {
    #[cfg(feature = "metrics")]
    pub(crate) fn new(policy: &PolicyName) -> Self {
        let policy = policy.as_str();
        Self {
            tally: None,
            decisions: RESULTS.map(|outcome| {
                metrics::counter!(DECISIONS, "policy" => policy.to_owned(), "outcome" => outcome)
            }),
            degraded: metrics::counter!(DEGRADED, "policy" => policy.to_owned()),
            unidentified: metrics::counter!(UNIDENTIFIED, "policy" => policy.to_owned()),
        }
    }

    #[cfg(not(feature = "metrics"))]
    pub(crate) const fn new(_: &PolicyName) -> Self {
        Self { tally: None }
    }

    /// Counts from here on, and on from what has been counted before.
    pub(crate) fn tally(&mut self, before: Option<&Self>) {
        let before = before.and_then(|before| before.tally.clone());
        self.tally = Some(before.unwrap_or_default());
    }

    pub(crate) fn decisions(&self, rule: &PolicyName) -> Option<RuleDecisions> {
        self.tally.as_ref().map(|tally| tally.of(rule))
    }

    #[inline]
    pub(crate) fn decided(&self, result: Result) {
        if let Some(tally) = &self.tally {
            tally.add(result);
        }
        #[cfg(feature = "metrics")]
        self.decisions[result as usize].increment(1);
    }

    #[cfg_attr(not(feature = "metrics"), allow(clippy::unused_self))]
    pub(crate) fn degraded(&self) {
        #[cfg(feature = "metrics")]
        self.degraded.increment(1);
    }

    #[cfg_attr(not(feature = "metrics"), allow(clippy::unused_self))]
    fn unidentified(&self) {
        #[cfg(feature = "metrics")]
        self.unidentified.increment(1);
    }
}

impl std::fmt::Debug for RuleMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RuleMetrics")
    }
}

/// What a [`Limiter`](crate::Limiter) and its clones have counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Decisions that the store's fallback made because the store could not.
    pub degraded: u64,
    /// Decisions that neither the store nor a fallback made.
    pub failed: u64,
    /// Look-ups of quotas of users that failed.
    pub lookups_failed: u64,
    /// Times that a rule on trial would have refused.
    pub shadow_refused: u64,
    /// Times that a rule did not apply because the subject it is by was not known.
    pub unidentified: u64,
}

/// The counters behind [`Stats`]. All of them are of what is rare.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    degraded: AtomicU64,
    failed: AtomicU64,
    lookups_failed: AtomicU64,
    shadow_refused: AtomicU64,
    unidentified: AtomicU64,
}

impl Counters {
    pub(crate) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            degraded: read(&self.degraded),
            failed: read(&self.failed),
            lookups_failed: read(&self.lookups_failed),
            shadow_refused: read(&self.shadow_refused),
            unidentified: read(&self.unidentified),
        }
    }

    pub(crate) fn degraded(&self) {
        self.degraded.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn lookup_failed(&self) {
        self.lookups_failed.fetch_add(1, Ordering::Relaxed);
        #[cfg(feature = "metrics")]
        metrics::counter!(LOOKUP_FAILURES).increment(1);
    }

    pub(crate) fn shadow_refused(&self) {
        self.shadow_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn unidentified(&self, rule: &RuleMetrics) {
        self.unidentified.fetch_add(1, Ordering::Relaxed);
        rule.unidentified();
    }
}

#[cfg_attr(not(feature = "metrics"), allow(unused_variables))]
pub(crate) fn reloaded(outcome: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!(RELOADS, "outcome" => outcome).increment(1);
}

#[cfg_attr(not(feature = "metrics"), allow(unused_variables))]
pub(crate) fn emergency_declared(declared: &Declared) {
    #[cfg(feature = "metrics")]
    {
        let (profile, cause) = (declared.profile.to_string(), declared.cause.as_str());
        metrics::counter!(EMERGENCIES, "profile" => profile.clone(), "cause" => cause).increment(1);
        metrics::gauge!(EMERGENCY, "profile" => profile).set(1);
    }
}

#[cfg_attr(not(feature = "metrics"), allow(unused_variables))]
pub(crate) fn emergency_over(declared: Option<&Declared>) {
    #[cfg(feature = "metrics")]
    if let Some(declared) = declared {
        metrics::gauge!(EMERGENCY, "profile" => declared.profile.to_string()).set(0);
    }
}

/// What [`Violations`](crate::Violations) have counted since they were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ViolationStats {
    /// Alerts, of this instance and of the fleet.
    pub alerts: u64,
    /// Violations that are not in the store: more than 1,000 in a second, or the store failed.
    pub dropped: u64,
    /// Violations.
    pub seen: u64,
}

/// The counters behind [`ViolationStats`].
#[derive(Debug, Default)]
pub(crate) struct ViolationCounters {
    alerts: AtomicU64,
    dropped: AtomicU64,
    seen: AtomicU64,
}

impl ViolationCounters {
    pub(crate) fn stats(&self) -> ViolationStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ViolationStats {
            alerts: read(&self.alerts),
            dropped: read(&self.dropped),
            seen: read(&self.seen),
        }
    }

    pub(crate) fn alerted(&self, scope: Scope) {
        self.alerts.fetch_add(1, Ordering::Relaxed);
        count(VIOLATION_ALERTS, Some(("scope", scope.as_str())), 1);
    }

    pub(crate) fn dropped(&self, rows: u64) {
        self.dropped.fetch_add(rows, Ordering::Relaxed);
        count(VIOLATIONS_DROPPED, None, rows);
    }

    pub(crate) fn seen(&self) {
        self.seen.fetch_add(1, Ordering::Relaxed);
        count(VIOLATIONS, None, 1);
    }
}

/// Adds to a counter that is asked for by its name: for what is not on the way of a request that is
/// let in.
#[cfg_attr(not(feature = "metrics"), allow(unused_variables))]
fn count(name: &'static str, label: Option<(&'static str, &'static str)>, by: u64) {
    #[cfg(feature = "metrics")]
    match label {
        Some((label, value)) => metrics::counter!(name, label => value).increment(by),
        None => metrics::counter!(name).increment(by),
    }
}

#[cfg(feature = "redis")]
pub(crate) fn leased(event: &'static str, tokens: u32) {
    if tokens > 0 {
        count(LEASED, Some(("event", event)), tokens.into());
    }
}

#[cfg(feature = "redis")]
#[cfg_attr(not(feature = "metrics"), allow(unused_variables))]
#[allow(
    clippy::cast_precision_loss,
    reason = "there are not as many tokens as a double can count"
)]
pub(crate) fn leases_outstanding(tokens: u64) {
    #[cfg(feature = "metrics")]
    metrics::gauge!(LEASES_OUTSTANDING).set(tokens as f64);
}

/// What a [`BlockList`](crate::BlockList) has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockStats {
    /// Look-ups of an address that was kept out.
    pub hits: u64,
    /// Blocks for violations, by this instance.
    pub automatic: u64,
    /// Blocks for violations that there were not, because the list has no room.
    pub no_room: u64,
    /// Times that the store failed.
    pub store_failures: u64,
}

/// The counters behind [`BlockStats`].
#[derive(Debug, Default)]
pub(crate) struct BlockCounters {
    hits: AtomicU64,
    automatic: AtomicU64,
    no_room: AtomicU64,
    store_failures: AtomicU64,
}

impl BlockCounters {
    pub(crate) fn stats(&self) -> BlockStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BlockStats {
            hits: read(&self.hits),
            automatic: read(&self.automatic),
            no_room: read(&self.no_room),
            store_failures: read(&self.store_failures),
        }
    }

    pub(crate) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
        count(BLOCKED, None, 1);
    }

    pub(crate) fn imposed(&self, effect: Effect, cause: Cause) {
        if cause == Cause::Automatic {
            self.automatic.fetch_add(1, Ordering::Relaxed);
        }
        if effect == Effect::Block {
            count(BLOCKS, Some(("cause", cause.as_str())), 1);
        }
    }

    pub(crate) fn no_room(&self) {
        self.no_room.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.store_failures.fetch_add(1, Ordering::Relaxed);
        count(BLOCK_STORE_FAILURES, None, 1);
    }
}

/// What a [`RuleBook`](crate::RuleBook) has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleBookStats {
    /// Look-ups of quotas of users in the store, because nothing was remembered.
    pub lookups: u64,
    /// Times that the store failed when it was asked what has changed.
    pub store_failures: u64,
}

/// The counters behind [`RuleBookStats`].
#[derive(Debug, Default)]
pub(crate) struct RuleBookCounters {
    lookups: AtomicU64,
    store_failures: AtomicU64,
}

impl RuleBookCounters {
    pub(crate) fn stats(&self) -> RuleBookStats {
        RuleBookStats {
            lookups: self.lookups.load(Ordering::Relaxed),
            store_failures: self.store_failures.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn looked_up(&self) {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        count(QUOTA_LOOKUPS, None, 1);
    }

    pub(crate) fn failed(&self) {
        self.store_failures.fetch_add(1, Ordering::Relaxed);
        count(RULE_STORE_FAILURES, None, 1);
    }
}
