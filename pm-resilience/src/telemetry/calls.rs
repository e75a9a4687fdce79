//! Those of the patterns around one call, but for its breaker.

use pm_core::Tick;

use crate::Class;
use crate::classify::Outcome;
use crate::retry::GivenUp;

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

/// Counter: calls that were cut off when their time was over, by `name` and `class`: `read`, `write`,
/// `batch` or `custom`.
pub const TIMEOUTS: &str = "pm_resilience_timeouts_total";

/// Counter: calls that a deadline ended, by `name` and `outcome`: `rejected` if it had passed before they
/// were made, `cut` if they were cut off by it.
pub const DEADLINES: &str = "pm_resilience_deadlines_total";

/// Counter: operations under a policy that have ended, by `name` and `outcome`: `success`, `failure`,
/// `ignored`, `timed_out` or `rejected`. What was dropped before its end is in none. A response has ended
/// with its head, or with its body if the [layer](crate::policy::PolicyLayer::until_body_end) says so.
pub const OPERATIONS: &str = "pm_resilience_operations_total";

/// The counters of one handle, one for each outcome. They are made when it is, all at 0, by the
/// recorder that is installed then.
#[derive(Debug)]
struct Outcomes<const N: usize> {
    #[cfg(feature = "metrics")]
    counters: [metrics::Counter; N],
}

impl<const N: usize> Outcomes<N> {
    #[cfg(feature = "metrics")]
    fn new(metric: &'static str, name: &str, outcomes: [&'static str; N]) -> Self {
        Self::by("outcome", metric, name, outcomes)
    }

    #[cfg(feature = "metrics")]
    fn by(
        label: &'static str,
        metric: &'static str,
        name: &str,
        values: [&'static str; N],
    ) -> Self {
        let counter = |value| metrics::counter!(metric, "name" => name.to_owned(), label => value);
        Self {
            counters: values.map(counter),
        }
    }

    #[cfg(not(feature = "metrics"))]
    const fn new(_: &'static str, _: &str, _: [&'static str; N]) -> Self {
        Self {}
    }

    #[cfg(not(feature = "metrics"))]
    const fn by(_: &'static str, _: &'static str, _: &str, _: [&'static str; N]) -> Self {
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

/// The counters of one [`Timeout`](crate::Timeout).
pub(crate) struct TimeoutMetrics(Outcomes<4>);

/// The one of a class.
#[derive(Clone, Debug)]
pub(crate) struct CutOff {
    #[cfg(feature = "metrics")]
    counter: metrics::Counter,
}

impl TimeoutMetrics {
    pub(crate) fn new(name: &str) -> Self {
        let classes = ["read", "write", "batch", "custom"];
        Self(Outcomes::by("class", TIMEOUTS, name, classes))
    }

    #[inline]
    #[cfg_attr(not(feature = "metrics"), allow(unused_variables, clippy::unused_self))]
    pub(crate) fn of(&self, class: Class) -> CutOff {
        CutOff {
            #[cfg(feature = "metrics")]
            counter: self.0.counters[match class {
                Class::Read => 0,
                Class::Write => 1,
                Class::Batch => 2,
                Class::Custom(_) => 3,
            }]
            .clone(),
        }
    }
}

impl CutOff {
    #[cfg_attr(not(feature = "metrics"), allow(clippy::unused_self))]
    pub(crate) fn count(&self) {
        #[cfg(feature = "metrics")]
        self.counter.increment(1);
    }
}

/// The counters of what holds calls to a [`Deadline`](crate::Deadline).
#[derive(Debug)]
pub(crate) struct DeadlineMetrics(Outcomes<2>);

impl DeadlineMetrics {
    pub(crate) fn new(name: &str) -> Self {
        Self(Outcomes::new(DEADLINES, name, ["rejected", "cut"]))
    }

    pub(crate) fn rejected(&self) {
        self.0.count(0);
    }

    pub(crate) fn cut(&self) {
        self.0.count(1);
    }
}

/// The counters of one [`Policy`](crate::Policy).
pub(crate) struct PolicyMetrics(Outcomes<5>);

impl PolicyMetrics {
    pub(crate) fn new(name: &str) -> Self {
        let outcomes = ["success", "failure", "ignored", "timed_out", "rejected"];
        Self(Outcomes::new(OPERATIONS, name, outcomes))
    }

    /// It has ended with an answer or an error of its own that says this.
    pub(crate) fn ended(&self, outcome: Outcome) {
        self.0.count(match outcome {
            Outcome::Success => 0,
            Outcome::Failure | Outcome::Retryable { .. } => 1,
            Outcome::Ignored => 2,
        });
    }

    pub(crate) fn timed_out(&self) {
        self.0.count(3);
    }

    pub(crate) fn rejected(&self) {
        self.0.count(4);
    }
}
