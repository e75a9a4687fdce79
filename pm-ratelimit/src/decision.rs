use std::time::Duration;

use arrayvec::ArrayVec;

use crate::Charges;

/// What became of one charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Nanoseconds until the bucket is full.
    reset: u64,
    /// Nanoseconds until the charge fits: 0 if it does, [`NEVER`] if it cannot.
    wait: u64,
    remaining: u32,
}

const NEVER: u64 = u64::MAX;

/// The reset of a bucket that was not looked at.
const UNKNOWN: u64 = u64::MAX;

/// What a caller is told to wait where nobody knows, in nanoseconds: a second.
pub(crate) const BLIND_WAIT: u64 = 1_000_000_000;

impl Outcome {
    /// It fits: `remaining` whole tokens are left, and the bucket is full in `reset` nanoseconds.
    #[inline]
    #[must_use]
    pub const fn fits(remaining: u32, reset: u64) -> Self {
        Self {
            reset: bounded(reset),
            wait: 0,
            remaining,
        }
    }

    /// It does not fit, but will in `wait` nanoseconds if nobody else takes anything. A wait of 0
    /// counts as 1.
    #[inline]
    #[must_use]
    pub const fn waits(remaining: u32, reset: u64, wait: u64) -> Self {
        let wait = if wait == 0 { 1 } else { wait };
        Self {
            reset: bounded(reset),
            wait,
            remaining,
        }
    }

    /// It costs more than the bucket can hold.
    #[inline]
    #[must_use]
    pub const fn never(remaining: u32, reset: u64) -> Self {
        Self {
            reset: bounded(reset),
            wait: NEVER,
            remaining,
        }
    }

    /// It was not looked at, because another charge was known to be refused. It counts as one that
    /// fits.
    #[inline]
    #[must_use]
    pub const fn unknown() -> Self {
        Self {
            reset: UNKNOWN,
            wait: 0,
            remaining: 0,
        }
    }

    /// It was not looked at, because the store could not decide and the charge is
    /// [closed](crate::OnFailure::Closed) then. It counts as one that does not fit, and asking again
    /// in a second may help.
    #[must_use]
    pub const fn closed() -> Self {
        Self {
            reset: UNKNOWN,
            wait: BLIND_WAIT,
            remaining: 0,
        }
    }

    /// Whether it was looked at. If not, what remains is told as 0.
    #[inline]
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.reset != UNKNOWN
    }

    /// Whether it is refused because the store could not decide.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        !self.is_known() && !self.is_allowed()
    }

    /// Whether it fits.
    #[inline]
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        self.wait == 0
    }

    /// Whether it costs more than the bucket can ever hold.
    #[inline]
    #[must_use]
    pub const fn is_never(&self) -> bool {
        self.wait == NEVER
    }

    /// Whole tokens that are left after the decision, rounded down.
    #[inline]
    #[must_use]
    pub const fn remaining(&self) -> u32 {
        self.remaining
    }

    /// How long until the bucket is full, if nothing is taken.
    #[inline]
    #[must_use]
    pub const fn reset_after(&self) -> Duration {
        Duration::from_nanos(self.reset_nanos())
    }

    #[inline]
    pub(crate) const fn reset_nanos(&self) -> u64 {
        if self.is_known() { self.reset } else { 0 }
    }

    #[inline]
    pub(crate) const fn wait_nanos(&self) -> u64 {
        self.wait
    }

    /// How long until the same charge fits, if nobody else takes anything; `None` if it fits now
    /// and if it never will.
    #[inline]
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.wait {
            0 | NEVER => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

/// Within 584 years, and not the mark of a bucket that was not looked at.
#[inline]
const fn bounded(reset: u64) -> u64 {
    if reset == UNKNOWN { UNKNOWN - 1 } else { reset }
}

/// What a store decided on a list of charges.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Decision {
    admitted: bool,
    degraded: bool,
    outcomes: ArrayVec<Outcome, { Charges::MAX }>,
}

impl Decision {
    /// Everything that is enforced fits, and is taken. The outcomes are in the order of the
    /// charges; any behind the [most there can be](Charges::MAX) are left out.
    #[inline]
    pub fn admitted(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        Self::new(true, outcomes)
    }

    /// Something that is enforced does not fit, and nothing is taken. The outcomes are as in
    /// [`admitted`](Self::admitted).
    #[inline]
    pub fn refused(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        Self::new(false, outcomes)
    }

    #[inline]
    fn new(admitted: bool, outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        let outcomes = outcomes.into_iter().take(Charges::MAX).collect();
        Self {
            admitted,
            degraded: false,
            outcomes,
        }
    }

    /// A decision on one charge, which is put together in place: to move room for eight takes longer than
    /// to decide.
    #[inline]
    pub(crate) fn on_one(admitted: bool, outcome: Outcome) -> Self {
        let mut decision = Self {
            admitted,
            degraded: false,
            outcomes: ArrayVec::new_const(),
        };
        decision.outcomes.push(outcome);
        decision
    }

    /// The same decision, marked as one that a fallback made because the store could not.
    pub fn with_degraded(mut self) -> Self {
        self.degraded = true;
        self
    }

    /// Whether everything that is enforced fits, and is taken.
    #[inline]
    #[must_use]
    pub const fn is_admitted(&self) -> bool {
        self.admitted
    }

    /// Whether a fallback decided because the store could not.
    #[inline]
    #[must_use]
    pub const fn is_degraded(&self) -> bool {
        self.degraded
    }

    /// What became of each charge, in the order of the charges.
    #[inline]
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }
}
