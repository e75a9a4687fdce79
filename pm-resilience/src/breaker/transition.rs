use std::time::Duration;

use pm_core::Context;

use super::{Cause, Counts, State};

/// One step from state to state, as it is told when it has been made.
pub(super) struct Transition {
    pub(super) from: State,
    pub(super) to: State,
    pub(super) cause: Cause,
    /// What was counted when it was made.
    pub(super) counts: Counts,
    /// For how long it is open now.
    pub(super) open_for: Option<Duration>,
    /// What whoever forced it says.
    pub(super) note: Option<String>,
}

impl Transition {
    pub(super) fn log(&self, breaker: &str, key: Option<&str>) {
        let context = Context::current();
        let request_id = context.as_ref().map(Context::request_id);
        let counts = &self.counts;
        macro_rules! line {
            ($level:expr, $message:literal) => {
                tracing::event!(
                    $level,
                    breaker,
                    key,
                    from = self.from.as_str(),
                    to = self.to.as_str(),
                    reason = self.cause.as_str(),
                    note = self.note.as_deref(),
                    in_a_row = counts.in_a_row,
                    calls = counts.calls,
                    failed = counts.failed,
                    slow = counts.slow,
                    open_for = self.open_for.map(tracing::field::debug),
                    request_id = request_id.map(tracing::field::display),
                    $message
                )
            };
        }
        match self.to {
            _ if self.cause == Cause::ProbeLost => {
                line!(
                    tracing::Level::WARN,
                    "a probe of the circuit did not come back"
                );
            }
            State::Open | State::ForcedOpen => {
                line!(tracing::Level::WARN, "the circuit is open");
            }
            State::Closed | State::ForcedClosed => {
                line!(tracing::Level::INFO, "the circuit is closed");
            }
            State::HalfOpen => line!(tracing::Level::INFO, "the circuit is half open"),
            State::Disabled => line!(tracing::Level::INFO, "the circuit is not watched"),
        }
    }
}
