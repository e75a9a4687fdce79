use std::fmt;
use std::future::Future;
use std::num::NonZeroU8;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Connection, Error};
use crate::Clock;

/// How a [`Redis`](super::Redis) is used. What is not said has a default.
#[derive(Clone)]
pub struct Options {
    pub(super) name: Box<str>,
    pub(super) clock: Clock,
    pub(super) deadline: Duration,
    pub(super) connect_limit: Duration,
    pub(super) probe_pause: Duration,
    pub(super) misses: NonZeroU8,
    /// The default probe if there is none.
    pub(super) probe: Option<Probe>,
}

pub(super) type Probe = Arc<dyn Fn(Connection) -> Probing + Send + Sync>;
type Probing = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            name: "redis".into(),
            clock: Clock::system(),
            deadline: Duration::from_millis(5),
            connect_limit: Duration::from_millis(500),
            probe_pause: Duration::from_millis(200),
            misses: NonZeroU8::MIN,
            probe: None,
        }
    }

    /// Its name in the log; `redis` by default.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// The clock that deadlines and pauses are measured with; the system's by default.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How long a call may take; 5 ms by default.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long a connection may take to be made, and then a probe on it; 500 ms by default. A
    /// cluster may take three times as long.
    #[must_use]
    pub fn with_connect_limit(mut self, limit: Duration) -> Self {
        self.connect_limit = limit;
        self
    }

    /// How long after the switch, and after a probe that failed, the next probe comes; 200 ms by
    /// default.
    #[must_use]
    pub fn with_probe_pause(mut self, pause: Duration) -> Self {
        self.probe_pause = pause;
        self
    }

    /// How many deadlines have to be missed in a row before it is taken for down; 1 by default. A
    /// lost connection always is enough.
    #[must_use]
    pub fn with_misses(mut self, in_a_row: NonZeroU8) -> Self {
        self.misses = in_a_row;
        self
    }

    /// What has to succeed before calls are let through again: what a store needs, on a key of its
    /// own.
    ///
    /// The default deletes keys that do not exist, named `pm:probe:` and a number: a write that
    /// changes nothing, and that a server which may only be read refuses. In a cluster there is
    /// one such key in each sixteenth of the slots.
    #[must_use]
    pub fn with_probe<F, P>(mut self, probe: P) -> Self
    where
        P: Fn(Connection) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.probe = Some(Arc::new(move |connection| Box::pin(probe(connection))));
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("name", &self.name)
            .field("deadline", &self.deadline)
            .field("connect_limit", &self.connect_limit)
            .field("probe_pause", &self.probe_pause)
            .field("misses", &self.misses)
            .finish_non_exhaustive()
    }
}
