use std::time::Duration;

use crate::Outcome;

/// The answer to "may this subject do that now?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Yes, and it has been charged.
    Allowed(Allowed),
    /// Not now; nothing has been charged.
    Refused(Refused),
    /// Not ever: it costs more than the bucket can hold. Nothing has been charged.
    Never(Never),
}

impl Verdict {
    /// Whether the answer is yes.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// Yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    pub(crate) outcome: Option<Outcome>,
    pub(crate) degraded: bool,
}

impl Allowed {
    /// Whole tokens that are left; 0 where the store did not answer.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.outcome.map_or(0, |outcome| outcome.remaining())
    }

    /// How long until the bucket is full, if nothing more is taken; 0 where the store did not
    /// answer.
    #[must_use]
    pub fn reset_after(&self) -> Duration {
        self.outcome
            .map_or(Duration::ZERO, |outcome| outcome.reset_after())
    }

    /// Whether something else decided because the store could not.
    #[must_use]
    pub const fn degraded(&self) -> bool {
        self.degraded
    }
}

/// Not now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub(crate) outcome: Option<Outcome>,
    pub(crate) degraded: bool,
}

impl Refused {
    /// What a caller is told to wait where the store did not answer.
    const BLIND_WAIT: Duration = Duration::from_secs(1);

    /// Whole tokens that are there, too few; 0 where the store did not answer.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.outcome.map_or(0, |outcome| outcome.remaining())
    }

    /// How long until the same would be allowed, if nobody else takes anything. Never zero; one
    /// second where the store did not answer.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        self.outcome
            .and_then(|outcome| outcome.retry_after())
            .unwrap_or(Self::BLIND_WAIT)
    }

    /// Whether something else decided because the store could not.
    #[must_use]
    pub const fn degraded(&self) -> bool {
        self.degraded
    }
}

/// Not ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Never {
    pub(crate) cost: u32,
    pub(crate) capacity: u32,
}

impl Never {
    /// The cost that was asked for, in tokens.
    #[must_use]
    pub const fn cost(&self) -> u32 {
        self.cost
    }

    /// The most that could be allowed at once, in tokens.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }
}
