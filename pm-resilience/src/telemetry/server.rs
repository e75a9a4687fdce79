//! Those of admission, health and shutdown.

use std::time::Duration;

use crate::{Pattern, Priority, Reason};

/// Gauge: permits that are held, by `gate` (`bulkhead` or `limit`) and `name`.
pub const GATE_IN_FLIGHT: &str = "pm_resilience_gate_in_flight";

/// Counter: permits that were given, by `gate` and `name`.
pub const GATE_ADMITTED: &str = "pm_resilience_gate_admitted_total";

/// Counter: calls that got no permit, by `gate`, `name` and `reason`: `full` or `waited_too_long`.
pub const GATE_REJECTED: &str = "pm_resilience_gate_rejected_total";

/// Gauge: how many calls an adaptive limit lets be under way, by `name`.
pub const LIMIT_CALLS: &str = "pm_resilience_limit_calls";

/// Counter: requests that were shed, by `name` and `priority`.
pub const SHED_REFUSED: &str = "pm_resilience_shed_refused_total";

/// Gauge: 1 while a dependency is up, 0 while it is down, not known yet, or stale, by `check`. As of
/// its last check, or of the last probe that was answered.
pub const HEALTH_UP: &str = "pm_resilience_health_up";

/// Counter: checks of dependencies, by `check` and `outcome`: `passed`, `failed` or `timed_out`.
pub const HEALTH_CHECKS: &str = "pm_resilience_health_checks_total";

/// Histogram: how long a check took, in seconds, by `check`.
pub const HEALTH_CHECK_SECONDS: &str = "pm_resilience_health_check_seconds";

/// Gauge: 1 for the phase that the process is in, `serving` at first, 0 for those that it has left, by
/// `phase`.
pub const SHUTDOWN_PHASE: &str = "pm_resilience_shutdown_phase";

/// Histogram: how long a phase of the shutdown took, in seconds, by `phase`.
pub const SHUTDOWN_PHASE_SECONDS: &str = "pm_resilience_shutdown_phase_seconds";

/// Counter: what was under way when the process was asked to stop, or came while it went down, by
/// `kind` (`connection`, `request`, `socket`, `task`) and `outcome`: `drained` or `cut`.
pub const SHUTDOWN_ENDED: &str = "pm_resilience_shutdown_ended_total";

/// Counter: hooks of the shutdown, by `outcome`: `done`, `panicked`, `timed_out`, or `unfinished` when
/// it was forced.
pub const SHUTDOWN_HOOKS: &str = "pm_resilience_shutdown_hooks_total";

#[cfg_attr(not(feature = "metrics"), allow(unused_variables))]
pub(crate) mod shutdown {
    use std::time::Duration;

    use crate::shutdown::{Kind, Phase};

    pub(crate) fn entered(phase: Phase) {
        #[cfg(feature = "metrics")]
        metrics::gauge!(super::SHUTDOWN_PHASE, "phase" => phase.as_str()).set(1);
    }

    pub(crate) fn turned(from: Phase, to: Phase) {
        entered(to);
        #[cfg(feature = "metrics")]
        metrics::gauge!(super::SHUTDOWN_PHASE, "phase" => from.as_str()).set(0);
    }

    pub(crate) fn took(phase: Phase, took: Duration) {
        #[cfg(feature = "metrics")]
        metrics::histogram!(super::SHUTDOWN_PHASE_SECONDS, "phase" => phase.as_str()).record(took);
    }

    pub(crate) fn ended(kind: Kind, drained: u64, cut: u64) {
        #[cfg(feature = "metrics")]
        for (outcome, number) in [("drained", drained), ("cut", cut)] {
            metrics::counter!(super::SHUTDOWN_ENDED, "kind" => kind.as_str(), "outcome" => outcome)
                .increment(number);
        }
    }

    pub(crate) fn hooks(outcome: &'static str, number: u64) {
        #[cfg(feature = "metrics")]
        metrics::counter!(super::SHUTDOWN_HOOKS, "outcome" => outcome).increment(number);
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
            up: {
                let up = metrics::gauge!(HEALTH_UP, "check" => check.to_owned());
                // A series that was never touched does not exist for every recorder.
                up.set(0);
                up
            },
            #[cfg(feature = "metrics")]
            outcomes: ["passed", "failed", "timed_out"].map(|outcome| {
                let labels = [("check", check.to_owned()), ("outcome", outcome.to_owned())];
                (outcome, metrics::counter!(HEALTH_CHECKS, &labels))
            }),
            #[cfg(feature = "metrics")]
            seconds: metrics::histogram!(HEALTH_CHECK_SECONDS, "check" => check.to_owned()),
        }
    }

    /// Whether the dependency can be relied on.
    pub(crate) fn known(&self, up: bool) {
        #[cfg(feature = "metrics")]
        self.up.set(if up { 1 } else { 0 });
    }

    /// A check took so long.
    pub(crate) fn checked(&self, outcome: &str, took: Duration) {
        #[cfg(feature = "metrics")]
        {
            let counter = self.outcomes.iter().find(|(name, _)| *name == outcome);
            if let Some((_, counter)) = counter {
                counter.increment(1);
            }
            self.seconds.record(took);
        }
    }
}

/// The metrics of what hands out permits, made when its handle is.
pub(crate) struct GateMetrics {
    #[cfg(feature = "metrics")]
    in_flight: metrics::Gauge,
    #[cfg(feature = "metrics")]
    admitted: metrics::Counter,
    #[cfg(feature = "metrics")]
    full: metrics::Counter,
    #[cfg(feature = "metrics")]
    waited_too_long: metrics::Counter,
    #[cfg(feature = "metrics")]
    limit: Option<metrics::Gauge>,
}

#[cfg_attr(not(feature = "metrics"), allow(unused_variables, clippy::unused_self))]
impl GateMetrics {
    pub(crate) fn new(gate: Pattern, name: &str) -> Self {
        #[cfg(feature = "metrics")]
        let labels = [
            ("gate", gate.as_str().to_owned()),
            ("name", name.to_owned()),
        ];
        #[cfg(feature = "metrics")]
        let rejected = |reason: Reason| {
            let [gate, name] = labels.clone();
            let labels = [gate, name, ("reason", reason.as_str().to_owned())];
            metrics::counter!(GATE_REJECTED, &labels)
        };
        Self {
            #[cfg(feature = "metrics")]
            in_flight: metrics::gauge!(GATE_IN_FLIGHT, &labels),
            #[cfg(feature = "metrics")]
            admitted: metrics::counter!(GATE_ADMITTED, &labels),
            #[cfg(feature = "metrics")]
            full: rejected(Reason::Full),
            #[cfg(feature = "metrics")]
            waited_too_long: rejected(Reason::WaitedTooLong),
            #[cfg(feature = "metrics")]
            limit: (gate == Pattern::Limit)
                .then(|| metrics::gauge!(LIMIT_CALLS, "name" => name.to_owned())),
        }
    }

    pub(crate) fn admitted(&self) {
        #[cfg(feature = "metrics")]
        {
            self.admitted.increment(1);
            self.in_flight.increment(1);
        }
    }

    pub(crate) fn freed(&self) {
        #[cfg(feature = "metrics")]
        self.in_flight.decrement(1);
    }

    pub(crate) fn rejected(&self, reason: Reason) {
        #[cfg(feature = "metrics")]
        match reason {
            Reason::WaitedTooLong => self.waited_too_long.increment(1),
            _ => self.full.increment(1),
        }
    }

    pub(crate) fn limit(&self, calls: u64) {
        #[cfg(feature = "metrics")]
        if let Some(limit) = &self.limit {
            limit.set(calls as f64);
        }
    }
}

/// The metrics of what sheds, made when its handle is.
pub(crate) struct ShedMetrics {
    #[cfg(feature = "metrics")]
    refused: [metrics::Counter; Priority::ALL.len()],
}

#[cfg_attr(not(feature = "metrics"), allow(unused_variables, clippy::unused_self))]
impl ShedMetrics {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            refused: Priority::ALL.map(|priority| {
                let labels = [
                    ("name", name.to_owned()),
                    ("priority", priority.to_string()),
                ];
                metrics::counter!(SHED_REFUSED, &labels)
            }),
        }
    }

    pub(crate) fn refused(&self, priority: Priority) {
        #[cfg(feature = "metrics")]
        self.refused[priority as usize].increment(1);
    }
}
