use std::sync::Arc;
use std::time::Duration;

use super::circuit::NEVER;
use super::history::{Entry, History, Sum};
use super::word::Watched;
use super::{BreakerSettings, Cause, Mode, SlowCalls, State};

/// The settings that are in force, and the window that they want.
pub(super) struct Armed {
    pub(super) settings: BreakerSettings,
    pub(super) history: Option<Arc<History>>,
}

impl Armed {
    /// The window goes on if it is the same one.
    pub(super) fn new(settings: BreakerSettings, before: Option<&Self>, generation: u64) -> Self {
        let same = |before: &&Self| before.settings.window == settings.window;
        let history = before
            .filter(same)
            .and_then(|before| before.history.clone());
        let wanted = settings.mode != Mode::Disabled && settings.has_rates();
        let new = || Arc::new(History::new(settings.window, generation));
        Self {
            history: wanted.then(|| history.unwrap_or_else(new)),
            settings,
        }
    }

    /// What calls are watched for, where `first` is the window that the breaker was made with.
    pub(super) fn watched(&self, first: Option<&Arc<History>>) -> Watched {
        let is_first =
            |history: &Arc<History>| first.is_some_and(|first| Arc::ptr_eq(first, history));
        Watched {
            window: self.history.as_ref().map(is_first),
            timed: self.settings.slow_calls.is_some(),
        }
    }

    pub(super) fn slow_after(&self) -> Option<Duration> {
        self.settings.slow_calls.map(|slow| slow.after)
    }

    /// The same in nanoseconds, where slow calls are watched.
    pub(super) fn slow_nanos(&self) -> u64 {
        let nanos = |after: Duration| u64::try_from(after.as_nanos()).unwrap_or(NEVER);
        self.slow_after().map_or(NEVER, nanos)
    }

    /// Why the window opens the breaker behind `entry`, if it does. A failure may be too many, and
    /// so may a slow call; a call that was neither is not.
    pub(super) fn verdict(&self, sum: Sum, entry: Entry) -> Option<Cause> {
        let settings = &self.settings;
        if sum.calls < settings.minimum_calls {
            return None;
        }
        // A rate is what was written, not the binary fraction that is nearest to it.
        let reached = |part: u32, rate: f64| {
            let share = f64::from(part) / f64::from(sum.calls);
            share >= rate - 1e-9
        };
        if entry.failed
            && settings
                .failure_rate
                .is_some_and(|rate| reached(sum.failed, rate))
        {
            return Some(Cause::FailureRate);
        }
        let slow = |slow: SlowCalls| reached(sum.slow, slow.rate);
        (entry.slow && settings.slow_calls.is_some_and(slow)).then_some(Cause::SlowCalls)
    }
}

impl Mode {
    /// Where a breaker stands that nobody has forced and that has not opened.
    pub(super) const fn state(self) -> State {
        match self {
            Self::Normal | Self::ObserveOnly => State::Closed,
            Self::Disabled => State::Disabled,
        }
    }
}
