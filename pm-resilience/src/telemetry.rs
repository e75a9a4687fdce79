//! What is counted, and what the counts are called. The only lines that know the `metrics` facade.
//!
//! The names are there without the feature, for dashboards and tests.

use std::time::Duration;

/// Gauge: 1 while a dependency is up, 0 while it is down, by `check`.
pub const HEALTH_UP: &str = "pm_resilience_health_up";

/// Counter: checks of dependencies, by `check` and `outcome`: `passed`, `failed` or `timed_out`.
pub const HEALTH_CHECKS: &str = "pm_resilience_health_checks_total";

/// Histogram: how long a check took, in seconds, by `check`.
pub const HEALTH_CHECK_SECONDS: &str = "pm_resilience_health_check_seconds";

/// Gauge: 1 for the phase of the shutdown that the process is in, 0 for the others, by `phase`.
pub const SHUTDOWN_PHASE: &str = "pm_resilience_shutdown_phase";

/// Histogram: how long a phase of the shutdown took, in seconds, by `phase`.
pub const SHUTDOWN_PHASE_SECONDS: &str = "pm_resilience_shutdown_phase_seconds";

/// Counter: what was under way when the process was asked to stop, or came while it went down, by
/// `kind` (`connection`, `request`, `socket`, `task`) and `outcome`: `drained` or `cut`.
pub const SHUTDOWN_ENDED: &str = "pm_resilience_shutdown_ended_total";

/// Counter: hooks of the shutdown, by `outcome`: `done`, `panicked` or `timed_out`.
pub const SHUTDOWN_HOOKS: &str = "pm_resilience_shutdown_hooks_total";

#[cfg_attr(not(feature = "metrics"), allow(unused_variables))]
pub(crate) mod shutdown {
    use std::time::Duration;

    use crate::shutdown::{Kind, Phase};

    pub(crate) fn entered(phase: Phase) {
        #[cfg(feature = "metrics")]
        metrics::gauge!(super::SHUTDOWN_PHASE, "phase" => phase.as_str()).set(1);
    }

    pub(crate) fn left(phase: Phase, took: Duration) {
        #[cfg(feature = "metrics")]
        {
            metrics::gauge!(super::SHUTDOWN_PHASE, "phase" => phase.as_str()).set(0);
            metrics::histogram!(super::SHUTDOWN_PHASE_SECONDS, "phase" => phase.as_str())
                .record(took);
        }
    }

    pub(crate) fn ended(kind: Kind, drained: u64, cut: u64) {
        #[cfg(feature = "metrics")]
        for (outcome, number) in [("drained", drained), ("cut", cut)] {
            metrics::counter!(super::SHUTDOWN_ENDED, "kind" => kind.as_str(), "outcome" => outcome)
                .increment(number);
        }
    }

    pub(crate) fn hook(outcome: &'static str) {
        #[cfg(feature = "metrics")]
        metrics::counter!(super::SHUTDOWN_HOOKS, "outcome" => outcome).increment(1);
    }
}

/// The metrics of one dependency, made when its handle is.
pub(crate) struct CheckMetrics {
    #[cfg(feature = "metrics")]
    up: metrics::Gauge,
    #[cfg(feature = "metrics")]
    outcomes: [(&'static str, metrics::Counter); 3],
    #[cfg(feature = "metrics")]
    seconds: metrics::Histogram,
}

#[cfg_attr(not(feature = "metrics"), allow(unused_variables, clippy::unused_self))]
impl CheckMetrics {
    pub(crate) fn new(check: &str) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            up: metrics::gauge!(HEALTH_UP, "check" => check.to_owned()),
            #[cfg(feature = "metrics")]
            outcomes: ["passed", "failed", "timed_out"].map(|outcome| {
                let labels = [("check", check.to_owned()), ("outcome", outcome.to_owned())];
                (outcome, metrics::counter!(HEALTH_CHECKS, &labels))
            }),
            #[cfg(feature = "metrics")]
            seconds: metrics::histogram!(HEALTH_CHECK_SECONDS, "check" => check.to_owned()),
        }
    }

    /// A check took so long, and the dependency came up by it, or went down.
    pub(crate) fn checked(&self, outcome: &str, took: Duration, change: Option<bool>) {
        #[cfg(feature = "metrics")]
        {
            let counter = self.outcomes.iter().find(|(name, _)| *name == outcome);
            if let Some((_, counter)) = counter {
                counter.increment(1);
            }
            self.seconds.record(took);
            if let Some(up) = change {
                self.up.set(if up { 1 } else { 0 });
            }
        }
    }
}
