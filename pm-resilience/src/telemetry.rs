//! What is counted, and what the counts are called. The only lines that know the `metrics` facade.
//!
//! The names are there without the feature, for dashboards and tests.

use std::time::Duration;

use pm_core::Tick;

use crate::breaker::State;
use crate::retry::GivenUp;
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

/// Gauge: how many breakers of a name stand where, by `breaker` and `state`: `closed`, `open`,
/// `half_open`, `forced_open`, `forced_closed` or `disabled`. Of one breaker, one series is 1 and
/// the others are 0.
pub const BREAKER_STATE: &str = "pm_resilience_breaker_state";

/// Counter: transitions, by `breaker` and the state that they lead `to`. A lost probe that was
/// replaced is one to `half_open`.
pub const BREAKER_TRANSITIONS: &str = "pm_resilience_breaker_transitions_total";

/// Counter: calls that were rejected, by `breaker` and `reason`: `open`, `probing` or `forced_open`.
pub const BREAKER_REJECTED: &str = "pm_resilience_breaker_rejected_total";

/// Counter: calls that a breaker which only observes would have rejected, by `breaker`.
pub const BREAKER_OBSERVED: &str = "pm_resilience_breaker_observed_total";

/// Counter: results that came when the breaker had changed since their calls were let in, and
/// changed nothing, by `breaker`.
pub const BREAKER_IGNORED: &str = "pm_resilience_breaker_ignored_total";

/// The series of one breaker. They are made when it is, all at 0, by the recorder that is installed
/// then.
pub(crate) struct BreakerMetrics {
    #[cfg(feature = "metrics")]
    states: [metrics::Gauge; State::ALL.len()],
    #[cfg(feature = "metrics")]
    transitions: [metrics::Counter; State::ALL.len()],
    #[cfg(feature = "metrics")]
    rejected: [metrics::Counter; REASONS.len()],
    #[cfg(feature = "metrics")]
    observed: metrics::Counter,
    #[cfg(feature = "metrics")]
    ignored: metrics::Counter,
}

#[cfg(feature = "metrics")]
const REASONS: [Reason; 3] = [Reason::Open, Reason::Probing, Reason::ForcedOpen];

/// Counts are numbers: no panic leaves them half changed, with the feature or without it.
#[cfg(feature = "metrics")]
impl std::panic::RefUnwindSafe for BreakerMetrics {}

#[cfg(feature = "metrics")]
impl BreakerMetrics {
    pub(crate) fn new(breaker: &str) -> Self {
        let name = || breaker.to_owned();
        Self {
            states: State::ALL.map(|state| {
                let gauge =
                    metrics::gauge!(BREAKER_STATE, "breaker" => name(), "state" => state.as_str());
                // A series that was never touched does not exist for every recorder.
                gauge.increment(0.0);
                gauge
            }),
            transitions: State::ALL.map(|to| {
                metrics::counter!(BREAKER_TRANSITIONS, "breaker" => name(), "to" => to.as_str())
            }),
            rejected: REASONS.map(|reason| {
                metrics::counter!(BREAKER_REJECTED, "breaker" => name(), "reason" => reason.as_str())
            }),
            observed: metrics::counter!(BREAKER_OBSERVED, "breaker" => name()),
            ignored: metrics::counter!(BREAKER_IGNORED, "breaker" => name()),
        }
    }

    /// It stands there now, for the first time.
    pub(crate) fn entered(&self, state: State) {
        self.states[state as usize].increment(1.0);
    }

    /// It stands there no more.
    pub(crate) fn left(&self, state: State) {
        self.states[state as usize].decrement(1.0);
    }

    pub(crate) fn moved(&self, from: State, to: State) {
        self.transitions[to as usize].increment(1);
        if from != to {
            self.left(from);
            self.entered(to);
        }
    }

    pub(crate) fn rejected(&self, reason: Reason) {
        if let Some(at) = REASONS.iter().position(|known| *known == reason) {
            self.rejected[at].increment(1);
        }
    }

    pub(crate) fn observed(&self) {
        self.observed.increment(1);
    }

    pub(crate) fn ignored(&self) {
        self.ignored.increment(1);
    }
}

#[cfg(not(feature = "metrics"))]
#[allow(clippy::unused_self)]
impl BreakerMetrics {
    pub(crate) const fn new(_: &str) -> Self {
        Self {}
    }

    pub(crate) const fn entered(&self, _: State) {}

    pub(crate) const fn left(&self, _: State) {}

    pub(crate) const fn moved(&self, _: State, _: State) {}

    pub(crate) const fn rejected(&self, _: Reason) {}

    pub(crate) const fn observed(&self) {}

    pub(crate) const fn ignored(&self) {}
}

/// Counter: what was decided behind attempts that could be repeated, by `name` and `outcome`:
/// `retried`, `attempts`, `patience`, `deadline` or `budget`.
pub const RETRIES: &str = "pm_resilience_retries_total";

/// Counter: calls that took long enough for a second attempt, by `name` and `outcome`: `made` or
/// `budget`.
pub const HEDGES: &str = "pm_resilience_hedges_total";

/// Counter: errors that another answer was looked for, by `name` and `outcome`: `taken` or `full`.
pub const FALLBACKS: &str = "pm_resilience_fallbacks_total";

/// Counter: operations that were slow, by `name`, whether there was a line for them or not.
pub const SLOW_OPERATIONS: &str = "pm_resilience_slow_operations_total";

/// The counters of one handle, one for each outcome. They are made when it is, all at 0, by the
/// recorder that is installed then.
struct Outcomes<const N: usize> {
    #[cfg(feature = "metrics")]
    counters: [metrics::Counter; N],
}

impl<const N: usize> Outcomes<N> {
    #[cfg(feature = "metrics")]
    fn new(metric: &'static str, name: &str, outcomes: [&'static str; N]) -> Self {
        let counter =
            |outcome| metrics::counter!(metric, "name" => name.to_owned(), "outcome" => outcome);
        Self {
            counters: outcomes.map(counter),
        }
    }

    #[cfg(not(feature = "metrics"))]
    const fn new(_: &'static str, _: &str, _: [&'static str; N]) -> Self {
        Self {}
    }

    #[cfg_attr(not(feature = "metrics"), allow(unused_variables, clippy::unused_self))]
    fn count(&self, outcome: usize) {
        #[cfg(feature = "metrics")]
        self.counters[outcome].increment(1);
    }
}

/// The counters of one [`Retry`](crate::Retry).
pub(crate) struct RetryMetrics(Outcomes<5>);

impl RetryMetrics {
    pub(crate) fn new(name: &str) -> Self {
        let outcomes = ["retried", "attempts", "patience", "deadline", "budget"];
        Self(Outcomes::new(RETRIES, name, outcomes))
    }

    pub(crate) fn decided(&self, decision: &Result<Tick, GivenUp>) {
        self.0.count(match decision {
            Ok(_) => 0,
            Err(GivenUp::Final) => return,
            Err(GivenUp::Attempts) => 1,
            Err(GivenUp::Patience) => 2,
            Err(GivenUp::Deadline) => 3,
            Err(GivenUp::Budget) => 4,
        });
    }
}

/// The counters of one [`Hedge`](crate::Hedge).
pub(crate) struct HedgeMetrics(Outcomes<2>);

impl HedgeMetrics {
    pub(crate) fn new(name: &str) -> Self {
        Self(Outcomes::new(HEDGES, name, ["made", "budget"]))
    }

    pub(crate) fn decided(&self, made: bool) {
        self.0.count(usize::from(!made));
    }
}

/// The counters of one [`Fallback`](crate::Fallback).
pub(crate) struct FallbackMetrics(Outcomes<2>);

impl FallbackMetrics {
    pub(crate) fn new(name: &str) -> Self {
        Self(Outcomes::new(FALLBACKS, name, ["taken", "full"]))
    }

    pub(crate) fn decided(&self, taken: bool) {
        self.0.count(usize::from(!taken));
    }
}

/// The counter of one [`SlowLog`](crate::SlowLog).
pub(crate) struct SlowLogMetrics {
    #[cfg(feature = "metrics")]
    slow: metrics::Counter,
}

impl SlowLogMetrics {
    #[cfg(feature = "metrics")]
    pub(crate) fn new(name: &str) -> Self {
        Self {
            slow: metrics::counter!(SLOW_OPERATIONS, "name" => name.to_owned()),
        }
    }

    #[cfg(not(feature = "metrics"))]
    pub(crate) const fn new(_: &str) -> Self {
        Self {}
    }

    #[cfg_attr(not(feature = "metrics"), allow(clippy::unused_self))]
    pub(crate) fn slow(&self) {
        #[cfg(feature = "metrics")]
        self.slow.increment(1);
    }
}
