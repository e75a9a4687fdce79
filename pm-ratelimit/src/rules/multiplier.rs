use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::Quota;

/// How many times a quota somebody has: `5`, or `5/2`. Both its rate and its burst.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Multiplier {
    times: u32,
    of: NonZeroU32,
}

impl Multiplier {
    /// Exactly the quota.
    pub const ONE: Self = Self::times(1);

    /// So many times the quota. 0 is refused where the rule is built.
    #[must_use]
    pub const fn times(times: u32) -> Self {
        Self {
            times,
            of: NonZeroU32::MIN,
        }
    }

    /// `times`/`of` the quota.
    #[must_use]
    pub const fn ratio(times: u32, of: NonZeroU32) -> Self {
        Self { times, of }
    }

    /// The quota so many times over: tokens and burst rounded down to whole ones, but at least one;
    /// `None` if there is no such quota.
    pub(crate) fn apply(&self, quota: &Quota) -> Option<Quota> {
        if self.times == 0 {
            return None;
        }
        let scaled = |tokens: u32| {
            let scaled = u64::from(tokens) * u64::from(self.times) / u64::from(self.of.get());
            u32::try_from(scaled.max(1)).ok()
        };
        Quota::try_new(
            scaled(quota.tokens())?,
            quota.period(),
            scaled(quota.capacity())?,
        )
        .ok()
    }
}

impl Multiplier {
    /// Whether it makes less of a quota, or leaves it as it is.
    pub(crate) const fn is_reduction(&self) -> bool {
        0 < self.times && self.times <= self.of.get()
    }

    /// What is left of the quota, if it is a reduction, with room for a `cost` that the quota has room
    /// for.
    pub(crate) const fn reduce(&self, quota: &Quota, cost: u32) -> Quota {
        quota.reduced_by(self.times, self.of, cost)
    }
}

impl From<u32> for Multiplier {
    fn from(times: u32) -> Self {
        Self::times(times)
    }
}

/// By size: `2/4` and `1/2` are in the same place, though not written the same.
impl Multiplier {
    pub(crate) fn is_larger_than(&self, other: &Self) -> bool {
        u64::from(self.times) * u64::from(other.of.get())
            > u64::from(other.times) * u64::from(self.of.get())
    }
}

/// The form that it is read from.
impl fmt::Display for Multiplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.times)?;
        if self.of.get() > 1 {
            write!(f, "/{}", self.of)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Multiplier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Multiplier({self})")
    }
}

/// The text is not a multiplier: write `5` or `5/2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a multiplier reads like 5 or 5/2")]
pub struct InvalidMultiplier(());

impl FromStr for Multiplier {
    type Err = InvalidMultiplier;

    fn from_str(text: &str) -> Result<Self, InvalidMultiplier> {
        let (times, of) = text.split_once('/').unwrap_or((text, "1"));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(times) || !digits(of) {
            return Err(InvalidMultiplier(()));
        }
        Ok(Self {
            times: times.parse().map_err(|_| InvalidMultiplier(()))?,
            of: of.parse().map_err(|_| InvalidMultiplier(()))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_multiplies_rate_and_burst() {
        let quota = Quota::per_minute(10).burst(3);
        let apply = |text: &str| text.parse::<Multiplier>().expect(text).apply(&quota);
        assert_eq!(apply("5"), Some(Quota::per_minute(50).burst(15)));
        assert_eq!(apply("5/2"), Some(Quota::per_minute(25).burst(7)));
        assert_eq!(apply("1/100"), Some(Quota::per_minute(1).burst(1)));
        assert_eq!(apply("0"), None);
        assert_eq!(apply("4294967295"), None, "faster than a quota can be");
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        for text in ["5", "5/2", "4294967295/7"] {
            assert_eq!(text.parse::<Multiplier>().expect(text).to_string(), text);
        }
        for text in ["", "5/0", "-1", "+1", "1.5", "/", "5/2/1", "4294967296"] {
            assert!(text.parse::<Multiplier>().is_err(), "{text}");
        }
        assert!(Multiplier::times(3).is_larger_than(&"5/2".parse().expect("a ratio")));
        assert!(!Multiplier::times(1).is_larger_than(&"2/2".parse().expect("a ratio")));
    }
}
