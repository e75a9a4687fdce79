use std::fmt;
use std::num::NonZeroU32;

use arrayvec::ArrayVec;

use crate::emergency::Reduction;
use crate::{OnFailure, Quota};

/// Names one bucket: a keyed digest of whose it is and what it limits.
///
/// A digest, not a number of one's own: stores rely on all its bits being spread evenly. It is
/// fixed in size, of no use in guessing at what was digested, and not to be aimed at by somebody
/// who does not know the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketId(u128);

impl BucketId {
    /// The bucket with this digest.
    #[inline]
    #[must_use]
    pub const fn from_u128(digest: u128) -> Self {
        Self(digest)
    }

    /// The digest.
    #[inline]
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// Which of so many places it belongs to.
    pub(crate) const fn place(self, of: usize) -> usize {
        ((self.0 ^ self.0 >> 64) as u64 % of as u64) as usize
    }
}

impl fmt::Debug for BucketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketId({:032x})", self.0)
    }
}

/// One thing that a request costs: so many tokens of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    bucket: BucketId,
    quota: Quota,
    cost: u32,
    ceiling: u32,
    slice: u32,
    mode: Mode,
    on_failure: OnFailure,
}

impl Charge {
    /// `cost` tokens from `bucket`, which is filled by `quota`, [enforced](Mode::Enforce).
    #[inline]
    #[must_use]
    pub const fn new(bucket: BucketId, quota: Quota, cost: u32) -> Self {
        Self {
            bucket,
            quota,
            cost,
            ceiling: quota.capacity(),
            slice: 0,
            mode: Mode::Enforce,
            on_failure: OnFailure::Local,
        }
    }

    /// The same charge of a bucket that others charge with larger quotas: the largest of them holds
    /// `tokens`. Less than the capacity of the charge's own quota counts as that.
    ///
    /// What is owed stays owed when the quota of a bucket changes, but not more than this. Without
    /// a ceiling that is the same for all of them, whoever can choose between two quotas (by two
    /// tokens with different roles) would have the larger one filled up by a visit to the smaller.
    #[inline]
    #[must_use]
    pub const fn with_ceiling(mut self, tokens: u32) -> Self {
        if tokens > self.quota.capacity() {
            self.ceiling = tokens;
        } else {
            self.ceiling = self.quota.capacity();
        }
        self
    }

    /// The same charge in another mode.
    #[inline]
    #[must_use]
    pub const fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The same charge with another answer for when the store cannot decide. Without it,
    /// [`OnFailure::Local`].
    #[must_use]
    pub const fn with_on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// The same charge of a bucket that tokens may be leased from: an instance takes up to `tokens`
    /// ahead and spends them without asking. Only `Leases` (feature `redis`) does that; to every
    /// other store, and with 0, the charge is one like any other.
    #[inline]
    #[must_use]
    pub const fn leased(mut self, tokens: u32) -> Self {
        self.slice = tokens;
        self
    }

    /// The charge of a rule, of the bucket that one subject has by it, so many times as expensive.
    #[inline]
    pub(crate) const fn of_subject(self, digest: u128, times: u32) -> Self {
        Self {
            bucket: BucketId(self.bucket.0.wrapping_add(digest)),
            cost: self.cost.saturating_mul(times),
            ..self
        }
    }

    /// The same charge of more or less.
    #[cfg(feature = "redis")]
    pub(crate) const fn with_cost(self, cost: u32) -> Self {
        Self { cost, ..self }
    }

    /// The same charge under another quota that the ceiling has been set for.
    pub(crate) const fn with_role(self, quota: Quota) -> Self {
        Self { quota, ..self }
    }

    /// The same charge under another quota, which is its ceiling, too.
    pub(crate) const fn with_quota(self, quota: Quota) -> Self {
        Self {
            quota,
            ceiling: quota.capacity(),
            ..self
        }
    }

    /// The same charge under what is left of its quota in an emergency.
    ///
    /// The ceiling stays that of the whole: what is owed when an emergency begins or ends is carried
    /// over, in both directions. What is taken ahead is as much less.
    pub(crate) fn reduced(self, reduction: &Reduction) -> Self {
        let quota = reduction.of(&self.quota, self.cost);
        let slice = u64::from(self.slice()) * u64::from(quota.capacity());
        let slice = slice / u64::from(self.quota.capacity());
        Self {
            quota,
            // No more than before, since the capacity is not.
            slice: u32::try_from(slice).unwrap_or(self.slice),
            ..self
        }
    }

    /// The same charge of what one of so many replicas may give out on its own.
    ///
    /// The ceiling stays that of the whole: it must be the same for all charges of a bucket, and the
    /// [share](Quota::share) is not.
    pub(crate) const fn share(self, replicas: NonZeroU32) -> Self {
        Self {
            quota: self.quota.share(replicas, self.cost),
            ..self
        }
    }

    /// Which bucket is charged.
    #[inline]
    #[must_use]
    pub const fn bucket(&self) -> BucketId {
        self.bucket
    }

    /// What fills the bucket.
    #[inline]
    #[must_use]
    pub const fn quota(&self) -> &Quota {
        &self.quota
    }

    /// How many tokens are asked for.
    #[inline]
    #[must_use]
    pub const fn cost(&self) -> u32 {
        self.cost
    }

    /// The most tokens that are still owed after a change of quota.
    #[inline]
    #[must_use]
    pub const fn ceiling(&self) -> u32 {
        self.ceiling
    }

    /// How many tokens an instance may take ahead: at most the capacity, 0 if it is not
    /// [leased](Self::leased).
    #[inline]
    #[must_use]
    pub const fn slice(&self) -> u32 {
        if self.slice < self.quota.capacity() {
            self.slice
        } else {
            self.quota.capacity()
        }
    }

    /// Whether tokens that were taken ahead can pay for it: whoever looks wants to see what is there,
    /// nothing is paid for nothing, and what never fits is refused.
    #[inline]
    #[cfg(feature = "redis")]
    pub(crate) fn is_leased(&self) -> bool {
        let (least, most) = (1, self.quota.capacity());
        self.slice > 0 && self.mode != Mode::Peek && (least..=most).contains(&self.cost)
    }

    /// What the charge means for the decision.
    #[inline]
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// What the answer is when the store cannot decide.
    #[must_use]
    pub const fn on_failure(&self) -> OnFailure {
        self.on_failure
    }
}

/// What a charge means for the decision that it is part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// The decision is to admit only if this fits. Taken if admitted.
    #[default]
    Enforce,
    /// Only looked at: never taken, and without a say.
    Peek,
    /// Taken if admitted and if it fits, but without a say: a rule on trial.
    Shadow,
}

/// Up to [eight](Self::MAX) charges that are decided together, all or nothing. Held inline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Charges(ArrayVec<Charge, { Charges::MAX }>);

impl Charges {
    /// The most charges in one decision.
    pub const MAX: usize = 8;

    /// No charges yet.
    #[inline]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a charge. The same bucket may be charged more than once; the costs add up.
    ///
    /// # Errors
    ///
    /// If there are eight already.
    #[inline]
    pub fn push(&mut self, charge: Charge) -> Result<(), TooManyCharges> {
        self.0.try_push(charge).map_err(|_| TooManyCharges)
    }

    #[inline]
    pub(crate) fn as_mut_slice(&mut self) -> &mut [Charge] {
        &mut self.0
    }

    /// The charges, in the order in which they were added.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[Charge] {
        &self.0
    }
}

impl From<Charge> for Charges {
    fn from(charge: Charge) -> Self {
        let mut charges = ArrayVec::new();
        charges.push(charge);
        Self(charges)
    }
}

impl TryFrom<&[Charge]> for Charges {
    type Error = TooManyCharges;

    fn try_from(charges: &[Charge]) -> Result<Self, TooManyCharges> {
        ArrayVec::try_from(charges)
            .map(Self)
            .map_err(|_| TooManyCharges)
    }
}

/// More than [`Charges::MAX`] charges in one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "one decision has at most {} charges: drop a rule, or decide in two stages",
    Charges::MAX
)]
pub struct TooManyCharges;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_quota_leaves_everything_else() {
        let charge = Charge::new(BucketId::from_u128(1), Quota::per_second(9), 2)
            .with_mode(Mode::Shadow)
            .with_on_failure(OnFailure::Closed)
            .with_ceiling(20)
            .leased(5);
        let own = charge.with_quota(Quota::per_day(30));
        assert_eq!((own.cost(), own.mode()), (2, Mode::Shadow));
        assert_eq!(own.on_failure(), OnFailure::Closed);
        assert_eq!((own.quota(), own.ceiling()), (&Quota::per_day(30), 30));
        assert_eq!(
            (own.slice(), own.with_quota(Quota::per_day(3)).slice()),
            (5, 3)
        );
    }

    #[test]
    fn in_an_emergency_as_much_less_is_taken_ahead() {
        let bucket = BucketId::from_u128(1);
        let charge = Charge::new(bucket, Quota::per_second(100), 1).leased(10);
        for (part, slice) in [("1/5", 2), ("1/20", 0), ("exempt", 10), ("50/second", 5)] {
            let reduction = part.parse().expect(part);
            assert_eq!(charge.reduced(&reduction).slice(), slice, "{part}");
        }
    }

    #[test]
    fn a_share_divides_rate_and_burst_and_keeps_the_ceiling() {
        let quota = Quota::per_second(10).burst(10);
        for (replicas, cost, burst) in [
            (1, 1, 10),
            (3, 1, 3),
            (3, 4, 4),
            (3, 10, 10),
            (3, 11, 3),
            (11, 0, 1),
            (u32::MAX, 11, 1),
        ] {
            let charge = Charge::new(BucketId::from_u128(1), quota, cost).with_ceiling(50);
            let replicas = NonZeroU32::new(replicas).expect("some");
            let share = charge.share(replicas);
            assert_eq!(share.quota().capacity(), burst, "{cost} of {replicas}");
            assert_eq!(share.quota().interval(), quota.interval() * replicas.get());
            assert_eq!(share.ceiling(), 50, "the same for all of a bucket");
        }
    }

    #[test]
    fn eight_charges_fit_and_a_ninth_does_not() {
        let charge = Charge::new(BucketId::from_u128(1), Quota::per_second(1), 1);
        let mut charges = Charges::from(charge);
        for _ in 1..Charges::MAX {
            assert_eq!(charges.push(charge), Ok(()));
        }
        assert_eq!(charges.push(charge), Err(TooManyCharges));
        assert_eq!(charges.as_slice().len(), 8);
        assert_eq!(Charges::try_from(charges.as_slice()), Ok(charges.clone()));
        assert_eq!(Charges::try_from(&[charge; 9][..]), Err(TooManyCharges));
    }
}
