use std::time::Duration;

use crate::{Outcome, PolicyName, decision};

/// The answer to "may this subject do that now?", by all rules that apply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Yes, and it has been charged.
    Allowed(Allowed),
    /// Not now; nothing has been charged.
    Refused(Refused),
    /// Not ever: it costs more than a bucket can hold. Nothing has been charged.
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
    /// Of the rule with the fewest tokens left.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) degraded: bool,
}

impl Allowed {
    /// Whole tokens that are left, by the rule that leaves the fewest. If the store did not answer,
    /// 0; if no rule applies, `u32::MAX`.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        match &self.outcome {
            Some(outcome) => outcome.remaining(),
            None if self.degraded => 0,
            None => u32::MAX,
        }
    }

    /// How long until that rule's bucket is full, if nothing more is taken; 0 where the store did
    /// not answer or no rule applies.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Of the rule that refuses for the longest time.
    pub(crate) outcome: Option<Outcome>,
    pub(crate) policy: Option<PolicyName>,
    pub(crate) degraded: bool,
    pub(crate) reduced_capacity: bool,
}

impl Refused {
    /// What a caller is told to wait where the store did not answer.
    pub(crate) const BLIND_WAIT: Duration = Duration::from_nanos(decision::BLIND_WAIT);

    /// The rule that refuses; if there are several, the one that refuses for the longest time. None
    /// where neither the store nor a fallback answered.
    #[must_use]
    pub const fn policy(&self) -> Option<&PolicyName> {
        self.policy.as_ref()
    }

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

    /// Whether only an [emergency](crate::emergency) refuses, and its profile says that this is for
    /// want of [capacity](crate::emergency::Answer::TemporaryReducedCapacity) and not the caller's
    /// doing.
    #[must_use]
    pub const fn is_reduced_capacity(&self) -> bool {
        self.reduced_capacity
    }
}

/// Not ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Never {
    pub(crate) policy: PolicyName,
    pub(crate) cost: u32,
    pub(crate) capacity: u32,
}

impl Never {
    /// The rule that it can never satisfy.
    #[must_use]
    pub const fn policy(&self) -> &PolicyName {
        &self.policy
    }

    /// What it costs by that rule, in tokens.
    #[must_use]
    pub const fn cost(&self) -> u32 {
        self.cost
    }

    /// The most that the rule could allow at once, in tokens.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }
}
