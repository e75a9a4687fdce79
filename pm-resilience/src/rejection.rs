use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A call that was not made, because something said no before it began.
///
/// It is never a failure of what would have been called, and nothing retries it blindly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct Rejection {
    name: Arc<str>,
    by: Pattern,
    reason: Reason,
    retry_after: Option<Duration>,
}

/// What said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pattern {
    /// A circuit breaker.
    Breaker,
    /// A bulkhead.
    Bulkhead,
    /// The deadline of the caller.
    Deadline,
    /// An adaptive limit.
    Limit,
    /// Load shedding.
    Shed,
}

/// Why it said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The breaker is open: too much has failed lately.
    Open,
    /// The breaker is half open, and all of its probes are under way.
    Probing,
    /// The breaker was forced open by hand.
    ForcedOpen,
    /// As many calls as there may be are under way.
    Full,
    /// It waited for its turn as long as it may.
    WaitedTooLong,
    /// The deadline of the caller has passed, or would before there could be an answer.
    DeadlinePassed,
    /// There is more to do than can be done, and this is not important enough.
    Overloaded,
}

impl Rejection {
    /// What is named `name` said no.
    #[must_use]
    pub const fn new(name: Arc<str>, by: Pattern, reason: Reason) -> Self {
        Self {
            name,
            by,
            reason,
            retry_after: None,
        }
    }

    /// The same, with a wait after which there is reason to try again.
    #[must_use]
    pub const fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The name of the policy, or of the handle, that said no.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What said no.
    #[must_use]
    pub const fn by(&self) -> Pattern {
        self.by
    }

    /// Why.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// How long to wait before there is reason to try again, where that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl Pattern {
    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Breaker => "breaker",
            Self::Bulkhead => "bulkhead",
            Self::Deadline => "deadline",
            Self::Limit => "limit",
            Self::Shed => "shed",
        }
    }
}

impl Reason {
    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Probing => "probing",
            Self::ForcedOpen => "forced_open",
            Self::Full => "full",
            Self::WaitedTooLong => "waited_too_long",
            Self::DeadlinePassed => "deadline_passed",
            Self::Overloaded => "overloaded",
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "the circuit is open",
            Self::Probing => "the circuit is half open and being probed",
            Self::ForcedOpen => "the circuit was forced open",
            Self::Full => "as many calls as there may be are under way",
            Self::WaitedTooLong => "no call ended while this one waited for its turn",
            Self::DeadlinePassed => "the deadline of the caller has passed",
            Self::Overloaded => "there is more to do than can be done",
        })
    }
}
