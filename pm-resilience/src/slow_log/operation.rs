use std::time::Duration;

use crate::Class;
use crate::breaker::State;

/// An operation that has ended, as the log tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub(super) name: &'static str,
    pub(super) class: Class,
    pub(super) took: Duration,
    pub(super) attempt: u32,
    pub(super) breaker: Option<State>,
}

impl Operation {
    /// An operation of this name and class that took so long, with one attempt and no breaker.
    #[must_use]
    pub const fn new(name: &'static str, class: Class, took: Duration) -> Self {
        Self {
            name,
            class,
            took,
            attempt: 1,
            breaker: None,
        }
    }

    /// The same, with so many attempts.
    #[must_use]
    pub const fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// The same, with a breaker in this state.
    #[must_use]
    pub const fn with_breaker(mut self, state: State) -> Self {
        self.breaker = Some(state);
        self
    }
}
