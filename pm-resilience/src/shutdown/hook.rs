use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use pm_core::Clock;

use crate::caught::caught;

/// What is done at the end, within its share of the time.
pub(super) struct Hook {
    name: String,
    share: Duration,
    work: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// How a hook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Finished,
    Panicked,
    TimedOut,
}

impl Hook {
    pub(super) fn new(
        name: String,
        share: Duration,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            name,
            share,
            work: Box::pin(work),
        }
    }

    /// Does it. A panic is logged, and so is one that took too long.
    pub(super) async fn run(self, clock: &Clock) -> Done {
        let Self { name, share, work } = self;
        match clock.within(share, caught(work)).await {
            Ok(Ok(())) => Done::Finished,
            Ok(Err(error)) => {
                tracing::error!(hook = name, %error, "a hook of the shutdown failed");
                Done::Panicked
            }
            Err(_) => {
                tracing::error!(hook = name, ?share, "a hook of the shutdown took too long");
                Done::TimedOut
            }
        }
    }
}

impl Done {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "done",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
        }
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook")
            .field("name", &self.name)
            .field("share", &self.share)
            .finish_non_exhaustive()
    }
}
