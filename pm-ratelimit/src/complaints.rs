use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pm_core::Tick;
use pm_core::degrade::State;

use crate::Error;

/// How long nothing more is said.
const PAUSE: Duration = Duration::from_secs(60);

/// Says that a store fails, but not for each request that it fails: one line a minute at most, and
/// none while a switch has said so.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    /// When the next may be said, in nanoseconds.
    due_at: AtomicU64,
    /// Failures since the last that was said.
    unsaid: AtomicU64,
}

impl Complaints {
    /// The store, which is in this state, did not decide.
    pub(crate) fn hear(&self, error: &Error, state: State, now: Tick) {
        match self.is_due(state, now) {
            Some(unsaid) => tracing::warn!(
                ?error,
                unsaid,
                "the rate limit store failed, deciding without it"
            ),
            None => tracing::debug!(?error, "the rate limit store failed, deciding without it"),
        }
    }

    /// How many were not said before this one; `None` if it is not to be said.
    fn is_due(&self, state: State, now: Tick) -> Option<u64> {
        if state == State::Down {
            return None;
        }
        let due_at = self.due_at.load(Ordering::Relaxed);
        let next = (now + PAUSE).as_nanos();
        let is_ours = due_at <= now.as_nanos()
            && (self.due_at)
                .compare_exchange(due_at, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_ours {
            return Some(self.unsaid.swap(0, Ordering::Relaxed));
        }
        self.unsaid.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_goes_on_failing_is_one_line_a_minute() {
        let complaints = Complaints::default();
        let at = |second: u64| Tick::from_nanos(second * 1_000_000_000);
        let said: Vec<_> = (0..150u64)
            .filter_map(|second| {
                let unsaid = complaints.is_due(State::Up, at(second))?;
                Some((second, unsaid))
            })
            .collect();
        assert_eq!(said, [(0, 0), (60, 59), (120, 59)]);
    }

    #[test]
    fn what_a_switch_has_said_is_not_said_again() {
        let complaints = Complaints::default();
        for _ in 0..10 {
            assert_eq!(complaints.is_due(State::Down, Tick::ZERO), None);
        }
        assert_eq!(complaints.is_due(State::Up, Tick::ZERO), Some(0));
    }
}
