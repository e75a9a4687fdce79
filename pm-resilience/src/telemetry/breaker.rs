//! Those of breakers.

use crate::Reason;
use crate::breaker::State;

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
