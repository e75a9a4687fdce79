use std::time::Duration;

use super::Kind;

/// How a process went down.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Summary {
    pub(super) ended: Ended,
    pub(super) took: Duration,
    pub(super) drained: [u64; Kind::ALL.len()],
    pub(super) cut: [u64; Kind::ALL.len()],
    pub(super) hooks_failed: u64,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ended {
    /// Everything had finished by itself.
    Empty,
    /// The time for draining was up, and what was left was asked to stop, or dropped.
    Cut,
    /// A second signal ended it at once.
    Forced,
}

impl Summary {
    /// How it ended.
    pub const fn ended(&self) -> Ended {
        self.ended
    }

    /// How long it took, from the signal on.
    #[must_use]
    pub const fn took(&self) -> Duration {
        self.took
    }

    /// How many of this kind finished after it was asked to stop.
    #[must_use]
    pub const fn drained(&self, kind: Kind) -> u64 {
        self.drained[kind as usize]
    }

    /// How many of this kind had not finished when the time for draining was up.
    #[must_use]
    pub const fn cut(&self, kind: Kind) -> u64 {
        self.cut[kind as usize]
    }

    /// How many finished after it was asked to stop.
    #[must_use]
    pub fn drained_in_all(&self) -> u64 {
        self.drained.iter().sum()
    }

    /// How many had not finished when the time for draining was up.
    #[must_use]
    pub fn cut_in_all(&self) -> u64 {
        self.cut.iter().sum()
    }

    /// How many hooks panicked, took too long, or had not ended when it was forced.
    #[must_use]
    pub const fn hooks_failed(&self) -> u64 {
        self.hooks_failed
    }
}

impl Ended {
    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Cut => "cut",
            Self::Forced => "forced",
        }
    }
}
