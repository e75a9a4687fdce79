//! Those of the patterns around one call.

use pm_core::Tick;

use crate::Reason;
use crate::breaker::State;
use crate::retry::GivenUp;

/// Gauge: how many breakers of a name stand where, by `breaker` and `state`: `closed`, `open`,
/// `half_open`, `forced_open`, `forced_closed` or `disabled`. Of one breaker, one series is 1 and
/// the others are 0; who looks in the middle of a transition may see both of its ends at 1.
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
            // In this order: who looks in between sees it twice, and never nowhere.
            self.entered(to);
            self.left(from);
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
