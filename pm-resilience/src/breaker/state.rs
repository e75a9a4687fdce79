use std::fmt;

/// Where a [`Breaker`](super::Breaker) stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Calls are let through, and watched.
    Closed,
    /// Calls are rejected until its time is over.
    Open,
    /// A few calls are let through as probes, and decide.
    HalfOpen,
    /// Calls are rejected until [`release`](super::Breaker::release).
    ForcedOpen,
    /// Calls are let through, whatever they say, until [`release`](super::Breaker::release).
    ForcedClosed,
    /// Calls are let through, and not watched: the [mode](super::Mode) says so.
    Disabled,
}

/// Why a [`Breaker`](super::Breaker) went from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// Too many failures in a row.
    ConsecutiveFailures,
    /// Too large a share of the window failed.
    FailureRate,
    /// Too large a share of the window was slow.
    SlowCalls,
    /// Its time open is over.
    OpenTimeOver,
    /// As many probes as there have to be have succeeded.
    ProbesPassed,
    /// A probe failed.
    ProbeFailed,
    /// A probe was slow, and slow calls are watched.
    ProbeSlow,
    /// A probe did not come back within its lease, and another one is let in.
    ProbeLost,
    /// By hand.
    Forced,
    /// By hand, back to what happens by itself.
    Released,
    /// Its mode was changed.
    Reloaded,
}

impl State {
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 6] = [
        Self::Closed,
        Self::Open,
        Self::HalfOpen,
        Self::ForcedOpen,
        Self::ForcedClosed,
        Self::Disabled,
    ];

    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
            Self::Disabled => "disabled",
        }
    }

    pub(super) const fn is_forced(self) -> bool {
        matches!(self, Self::ForcedOpen | Self::ForcedClosed)
    }
}

impl Cause {
    /// The name in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::FailureRate => "failure_rate",
            Self::SlowCalls => "slow_calls",
            Self::OpenTimeOver => "open_time_over",
            Self::ProbesPassed => "probes_passed",
            Self::ProbeFailed => "probe_failed",
            Self::ProbeSlow => "probe_slow",
            Self::ProbeLost => "probe_lost",
            Self::Forced => "forced",
            Self::Released => "released",
            Self::Reloaded => "reloaded",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
