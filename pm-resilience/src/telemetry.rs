//! What is counted, and what the counts are called. The only lines that know the `metrics` facade.
//!
//! The names are there without the feature, for dashboards and tests.

use pm_core::Tick;

use crate::retry::GivenUp;

/// Counter: what was decided behind attempts that could be repeated, by `name` and `outcome`:
/// `retried`, `attempts`, `patience`, `deadline` or `budget`.
pub const RETRIES: &str = "pm_resilience_retries_total";

/// The counters of one [`Retry`](crate::Retry), made when it is, by the recorder that is installed
/// then.
pub(crate) struct RetryMetrics {
    #[cfg(feature = "metrics")]
    outcomes: [metrics::Counter; 5],
}

impl RetryMetrics {
    #[cfg(feature = "metrics")]
    pub(crate) fn new(name: &str) -> Self {
        let counter =
            |outcome| metrics::counter!(RETRIES, "name" => name.to_owned(), "outcome" => outcome);
        Self {
            outcomes: ["retried", "attempts", "patience", "deadline", "budget"].map(counter),
        }
    }

    #[cfg(not(feature = "metrics"))]
    pub(crate) const fn new(_: &str) -> Self {
        Self {}
    }

    #[cfg_attr(not(feature = "metrics"), allow(unused_variables, clippy::unused_self))]
    pub(crate) fn decided(&self, decision: &Result<Tick, GivenUp>) {
        #[cfg(feature = "metrics")]
        {
            let outcome = match decision {
                Ok(_) => 0,
                Err(GivenUp::Final) => return,
                Err(GivenUp::Attempts) => 1,
                Err(GivenUp::Patience) => 2,
                Err(GivenUp::Deadline) => 3,
                Err(GivenUp::Budget) => 4,
            };
            self.outcomes[outcome].increment(1);
        }
    }
}
