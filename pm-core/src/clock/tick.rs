use std::fmt;
use std::ops::{Add, AddAssign};
use std::time::Duration;

/// A moment on a clock that only moves forward, in nanoseconds since an origin of no meaning.
///
/// Ticks of the same [`Clock`](super::Clock) compare with each other, and so do the ticks of all
/// system clocks of one process. A tick means nothing to another process: never store or send one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    /// The origin: no tick is earlier.
    pub const ZERO: Self = Self(0);

    /// The last moment there is, some 584 years after the origin.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this tick is; zero if it is not after it.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Saturates at [`Tick::MAX`], so that "never" may be written as a very long duration.
impl Add<Duration> for Tick {
    type Output = Self;

    fn add(self, after: Duration) -> Self {
        let nanos = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Tick {
    fn add_assign(&mut self, after: Duration) {
        *self = *self + after;
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let second = Tick::ZERO + Duration::from_secs(1);
        assert_eq!(second.as_nanos(), 1_000_000_000);
        assert_eq!(
            second.saturating_duration_since(Tick::ZERO),
            Duration::from_secs(1)
        );
        assert_eq!(Tick::ZERO.saturating_duration_since(second), Duration::ZERO);
        assert_eq!(second + Duration::MAX, Tick::MAX);
    }
}
