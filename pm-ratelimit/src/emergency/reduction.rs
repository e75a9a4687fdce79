use std::fmt;
use std::str::FromStr;

use crate::rules::Multiplier;
use crate::{InvalidQuota, Quota};

/// What becomes of a rule's quota in an emergency; of those of roles and of single users, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// It stays as it is.
    Exempt,
    /// A part of it: rate and burst.
    Times(Multiplier),
    /// At most this: the slower rate of the two, and the smaller burst.
    To(Quota),
}

impl Reduction {
    /// What is left of the quota, with room for a `cost` that it has room for.
    pub(crate) const fn of(&self, quota: &Quota, cost: u32) -> Quota {
        match self {
            Self::Exempt => *quota,
            Self::Times(times) => times.reduce(quota, cost),
            Self::To(other) => quota.reduced_to(other, cost),
        }
    }

    /// Whether it leaves everything as it is.
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::Exempt) || *self == Self::Times(Multiplier::ONE)
    }
}

impl From<Quota> for Reduction {
    fn from(quota: Quota) -> Self {
        Self::To(quota)
    }
}

impl From<Multiplier> for Reduction {
    fn from(times: Multiplier) -> Self {
        Self::Times(times)
    }
}

/// The form that it is read from: `exempt`, `1/5`, `10/minute burst 5`.
impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exempt => f.write_str("exempt"),
            Self::Times(times) => times.fmt(f),
            Self::To(quota) => quota.fmt(f),
        }
    }
}

/// The text does not say what becomes of a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rule is reduced by exempt, by a part like 1/5, or by a quota like 10/minute: {0}")]
pub struct InvalidReduction(InvalidQuota);

impl FromStr for Reduction {
    type Err = InvalidReduction;

    fn from_str(text: &str) -> Result<Self, InvalidReduction> {
        if text == "exempt" {
            return Ok(Self::Exempt);
        }
        // A quota has a unit, a part is digits alone.
        match text.parse() {
            Ok(times) => Ok(Self::Times(times)),
            Err(_) => text.parse().map(Self::To).map_err(InvalidReduction),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::{BucketId, Charge};

    #[test]
    fn it_is_read_as_it_is_written() {
        for text in ["exempt", "1/5", "1", "10/minute burst 5", "10/90s"] {
            let reduction: Reduction = text.parse().expect(text);
            assert_eq!(reduction.to_string(), text);
        }
        for text in ["", "none", "1/0", "5/", "10/minutes", "0/minute"] {
            assert!(text.parse::<Reduction>().is_err(), "{text}");
        }
    }

    fn quotas() -> impl Strategy<Value = Quota> {
        let days = 86_400_000;
        (1u32..1_000_000, 1u64..366 * days, 1u32..1_000_000).prop_filter_map(
            "not a quota",
            |(tokens, millis, burst)| {
                let period = std::time::Duration::from_millis(millis);
                Quota::try_new(tokens, period, burst).ok()
            },
        )
    }

    fn reductions() -> impl Strategy<Value = Reduction> {
        let times = (1u32..100, 0u32..1_000).prop_map(|(times, more)| {
            let of = NonZeroU32::new(times + more).expect("at least one");
            Reduction::Times(Multiplier::ratio(times, of))
        });
        prop_oneof![times, quotas().prop_map(Reduction::To)]
    }

    proptest! {
        #[test]
        fn what_is_left_is_never_more_and_has_room_for_what_the_whole_has_room_for(
            quota in quotas(),
            reduction in reductions(),
            cost in 0u32..1_500_000,
            ceiling: u32,
        ) {
            let whole = Charge::new(BucketId::from_u128(1), quota, cost).with_ceiling(ceiling);
            let reduced = whole.reduced(&reduction);
            let left = reduced.quota();
            prop_assert!(left.capacity() >= 1);
            prop_assert!(left.capacity() <= quota.capacity());
            prop_assert!(left.interval() >= quota.interval());
            prop_assert_eq!(cost <= quota.capacity(), cost <= left.capacity());
            prop_assert_eq!(reduced.ceiling(), whole.ceiling(), "or debts would be forgiven");
            if let Reduction::To(other) = reduction {
                prop_assert!(left.capacity() <= other.capacity().max(cost));
            }
            // It refills within a hundred years, as every quota does.
            let refill = u128::from(left.capacity()) * left.interval().as_nanos();
            prop_assert!(refill <= 100 * 366 * 86_400 * 1_000_000_000);
        }
    }
}
