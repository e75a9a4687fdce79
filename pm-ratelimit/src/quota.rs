use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use pm_core::duration;

/// How much is allowed: so many tokens per period, and how many of them at once.
///
/// ```
/// use pm_ratelimit::Quota;
///
/// const LOGIN: Quota = Quota::per_minute(5);
/// let api = Quota::per_minute(300).burst(50);
/// assert_eq!(api, "300/minute burst 50".parse()?);
/// # Ok::<(), pm_ratelimit::InvalidQuota>(())
/// ```
///
/// A bucket holds [`burst`](Self::burst) tokens and starts full. One token comes back every
/// *period ÷ tokens*, rounded up to a whole nanosecond: never in the caller's favour, and within
/// 10⁻⁶ of the stated rate up to 1,000 a second, within 10⁻³ up to 1,000,000 a second, which is
/// the fastest quota there is. `per_second(5)` is five per second.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    tokens: u32,
    burst: u32,
    /// In nanoseconds, a whole number of milliseconds.
    period: u64,
    /// Nanoseconds until one token comes back. Follows from the others; a division saved each time.
    interval: u64,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The units that a quota is written with.
const UNITS: [(&str, Duration); 4] = [
    ("second", SECOND),
    ("minute", MINUTE),
    ("hour", HOUR),
    ("day", DAY),
];

const LONGEST_PERIOD: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The shortest time in which one token may come back, in nanoseconds: a million per second.
const SHORTEST_INTERVAL: u128 = 1_000;

/// The longest that an empty bucket may take to fill up, in nanoseconds: a hundred years. It keeps
/// every sum of a moment and a debt within 64 bits.
const LONGEST_REFILL: u128 = 100 * 366 * 24 * 60 * 60 * 1_000_000_000;

impl Quota {
    /// `tokens` per second, all of them at once if need be.
    ///
    /// # Panics
    ///
    /// If `tokens` is 0 or more than 1,000,000. In a constant, that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn per_second(tokens: u32) -> Self {
        Self::new(tokens, SECOND)
    }

    /// `tokens` per minute, all of them at once if need be.
    ///
    /// # Panics
    ///
    /// If `tokens` is 0 or more than 60,000,000. In a constant, that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn per_minute(tokens: u32) -> Self {
        Self::new(tokens, MINUTE)
    }

    /// `tokens` per hour, all of them at once if need be.
    ///
    /// # Panics
    ///
    /// If `tokens` is 0 or more than 3,600,000,000. In a constant, that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn per_hour(tokens: u32) -> Self {
        Self::new(tokens, HOUR)
    }

    /// `tokens` per 24 hours, all of them at once if need be.
    ///
    /// # Panics
    ///
    /// If `tokens` is 0. In a constant, that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn per_day(tokens: u32) -> Self {
        Self::new(tokens, DAY)
    }

    /// `tokens` per `period`, all of them at once if need be.
    ///
    /// # Panics
    ///
    /// Where [`try_new`](Self::try_new) has an error. In a constant, that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn new(tokens: u32, period: Duration) -> Self {
        match Self::try_new(tokens, period, tokens) {
            Ok(quota) => quota,
            Err(invalid) => panic!("{}", invalid.message()),
        }
    }

    /// The same rate with at most `tokens` at once.
    ///
    /// # Panics
    ///
    /// If `tokens` is 0, or would take longer than a hundred years to come back. In a constant,
    /// that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn burst(self, tokens: u32) -> Self {
        match Self::try_new(self.tokens, self.period(), tokens) {
            Ok(quota) => quota,
            Err(invalid) => panic!("{}", invalid.message()),
        }
    }

    /// `tokens` per `period`, at most `burst` at once: for numbers that come from settings.
    ///
    /// # Errors
    ///
    /// If one of the numbers is 0, if `period` is not a whole number of milliseconds of at most
    /// 366 days, if there are more than 1,000,000 tokens a second, or if `burst` tokens would take
    /// longer than a hundred years to come back.
    pub const fn try_new(tokens: u32, period: Duration, burst: u32) -> Result<Self, InvalidQuota> {
        if tokens == 0 {
            return Err(InvalidQuota::NoTokens);
        }
        if burst == 0 {
            return Err(InvalidQuota::NoBurst);
        }
        let nanos = period.as_nanos();
        if nanos == 0 || !nanos.is_multiple_of(1_000_000) || nanos > LONGEST_PERIOD.as_nanos() {
            return Err(InvalidQuota::Period);
        }
        if nanos < SHORTEST_INTERVAL * tokens as u128 {
            return Err(InvalidQuota::TooFast);
        }
        // Rounded up: an interval that is too short would admit more than was asked for.
        let interval = nanos.div_ceil(tokens as u128);
        if interval * burst as u128 > LONGEST_REFILL {
            return Err(InvalidQuota::TooSlow);
        }
        Ok(Self {
            tokens,
            burst,
            period: nanos as u64,
            interval: interval as u64,
        })
    }

    /// How many tokens come back per [`period`](Self::period).
    #[must_use]
    pub const fn tokens(&self) -> u32 {
        self.tokens
    }

    /// The time in which [`tokens`](Self::tokens) come back.
    #[must_use]
    pub const fn period(&self) -> Duration {
        Duration::from_nanos(self.period)
    }

    /// How many tokens a bucket holds, and so the most that may be taken at one moment.
    #[inline]
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.burst
    }

    /// The time in which one token comes back, rounded up to a whole nanosecond.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    #[inline]
    pub(crate) const fn interval_nanos(&self) -> u64 {
        self.interval
    }

    /// What one of so many replicas may give out on its own: that part of the rate and of the burst.
    ///
    /// The burst has room for a `cost` that the whole has room for.
    pub(crate) const fn share(&self, replicas: NonZeroU32, cost: u32) -> Self {
        let (burst, replicas) = (self.burst / replicas.get(), replicas.get() as u64);
        Self {
            tokens: self.tokens,
            period: self.period.saturating_mul(replicas),
            interval: self.interval.saturating_mul(replicas),
            ..*self
        }
        .with_room(burst, cost, self.burst)
    }

    /// What is left of this quota under another one: the slower rate and the smaller burst of the
    /// two, with room for a `cost` that this one has room for.
    pub(crate) const fn reduced_to(&self, other: &Self, cost: u32) -> Self {
        let rate = if other.interval > self.interval {
            other
        } else {
            self
        };
        let burst = if other.burst < self.burst {
            other.burst
        } else {
            self.burst
        };
        rate.with_room(burst, cost, self.burst)
    }

    /// What is left of this quota if it is divided: `times`/`of` of its tokens and burst, at most the
    /// whole, rounded down but at least one; with room for a `cost` that this one has room for.
    pub(crate) const fn reduced_by(&self, times: u32, of: NonZeroU32, cost: u32) -> Self {
        let tokens = part_of(self.tokens, times, of);
        let interval = self.period.div_ceil(tokens as u64);
        Self {
            tokens,
            interval,
            ..*self
        }
        .with_room(part_of(self.burst, times, of), cost, self.burst)
    }

    /// The same quota with a burst of at least one such `cost`.
    pub(crate) const fn with_room_for(self, cost: u32) -> Self {
        self.with_room(self.burst, cost, cost)
    }

    /// The same rate with another burst: at least 1, and as much as a `cost` takes that there is room
    /// for in the `whole`. Such a cost has to wait for a full bucket, and is no reason to say that it
    /// never fits. The rate is not so low that the burst takes more than a hundred years.
    const fn with_room(self, burst: u32, cost: u32, whole: u32) -> Self {
        let burst = if cost <= whole && cost > burst {
            cost
        } else if burst == 0 {
            1
        } else {
            burst
        };
        let longest = LONGEST_REFILL as u64 / burst as u64;
        let interval = if self.interval < longest {
            self.interval
        } else {
            longest
        };
        Self {
            burst,
            interval,
            ..self
        }
    }
}

/// `times`/`of` of so many tokens, rounded down, but at least one.
const fn part_of(tokens: u32, times: u32, of: NonZeroU32) -> u32 {
    let part = tokens as u64 * times as u64 / of.get() as u64;
    if part == 0 {
        1
    } else if part > tokens as u64 {
        tokens
    } else {
        part as u32
    }
}

/// The form that it is read from: `300/minute burst 50`, `5/second`, `10/90s`.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = self.period();
        write!(f, "{}/", self.tokens)?;
        match UNITS.iter().find(|(_, unit)| *unit == period) {
            Some((name, _)) => f.write_str(name)?,
            None if period.subsec_nanos() == 0 => write!(f, "{}s", period.as_secs())?,
            None => write!(f, "{}ms", period.as_millis())?,
        }
        if self.burst != self.tokens {
            write!(f, " burst {}", self.burst)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quota({self})")
    }
}

/// `TOKENS/PERIOD`, or `TOKENS/PERIOD burst TOKENS`, where the period is `second`, `minute`,
/// `hour`, `day`, or a number with `ms`, `s`, `m`, `h` or `d`.
impl FromStr for Quota {
    type Err = InvalidQuota;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split_ascii_whitespace();
        let (tokens, period) = words
            .next()
            .and_then(|rate| rate.split_once('/'))
            .ok_or(InvalidQuota::Syntax)?;
        let tokens = number(tokens)?;
        let period = parse_period(period)?;
        let burst = match (words.next(), words.next(), words.next()) {
            (None, ..) => tokens,
            (Some("burst"), Some(burst), None) => number(burst)?,
            _ => return Err(InvalidQuota::Syntax),
        };
        Self::try_new(tokens, period, burst)
    }
}

fn parse_period(text: &str) -> Result<Duration, InvalidQuota> {
    if let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == text) {
        return Ok(*unit);
    }
    duration::parse(text).map_err(|_| InvalidQuota::Syntax)
}

fn number(digits: &str) -> Result<u32, InvalidQuota> {
    // `u32::from_str` would also take a plus sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidQuota::Syntax);
    }
    digits.parse().map_err(|_| InvalidQuota::Syntax)
}

/// Why something is not a [`Quota`]. The message says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
#[non_exhaustive]
pub enum InvalidQuota {
    /// A burst of 0.
    NoBurst,
    /// 0 tokens per period.
    NoTokens,
    /// A period of 0, of more than 366 days, or with a fraction of a millisecond.
    Period,
    /// Not of the form `300/minute burst 50`.
    Syntax,
    /// More than 1,000,000 tokens per second.
    TooFast,
    /// A burst that takes longer than a hundred years to come back.
    TooSlow,
}

impl InvalidQuota {
    const fn message(&self) -> &'static str {
        match self {
            Self::NoBurst => {
                "a quota with a burst of 0 admits nothing: write a burst of at least 1"
            }
            Self::NoTokens => {
                "a quota of 0 tokens admits nothing: write at least 1 token per period"
            }
            Self::Period => {
                "the period of a quota is a whole number of milliseconds, from 1ms to 366 days"
            }
            Self::Syntax => "a quota reads like 300/minute, 300/minute burst 50 or 10/90s",
            Self::TooFast => {
                "a quota has at most 1,000,000 tokens per second: to limit less, leave the limit out"
            }
            Self::TooSlow => {
                "the burst of this quota takes more than a hundred years to come back: write a smaller burst or a shorter period"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn per_second_5_is_five_per_second_and_not_one_per_five_seconds() {
        assert_eq!(Quota::per_second(5).interval(), Duration::from_millis(200));
        assert_eq!(Quota::per_minute(5).interval(), Duration::from_secs(12));
        assert_eq!(Quota::per_hour(5).interval(), Duration::from_secs(720));
        assert_eq!(Quota::per_day(1).interval(), DAY);
    }

    #[test]
    fn the_burst_is_the_tokens_of_a_period_unless_said_otherwise() {
        assert_eq!(Quota::per_minute(300).capacity(), 300);
        assert_eq!(Quota::per_minute(300).burst(50).capacity(), 50);
        assert_eq!(Quota::per_minute(300).burst(50).tokens(), 300);
    }

    #[test]
    #[should_panic(expected = "a quota of 0 tokens admits nothing: write at least 1 token")]
    fn zero_per_minute_cannot_be_written() {
        let _ = Quota::per_minute(0);
    }

    #[test]
    #[should_panic(expected = "a burst of 0 admits nothing: write a burst of at least 1")]
    fn a_burst_of_zero_cannot_be_written() {
        let _ = Quota::per_minute(1).burst(0);
    }

    #[test]
    fn extremes_are_refused_by_name() {
        for (tokens, period, burst, error) in [
            (0, SECOND, 1, InvalidQuota::NoTokens),
            (1, SECOND, 0, InvalidQuota::NoBurst),
            (1, Duration::ZERO, 1, InvalidQuota::Period),
            (1, Duration::from_micros(1500), 1, InvalidQuota::Period),
            (1, LONGEST_PERIOD + SECOND, 1, InvalidQuota::Period),
            (1, Duration::MAX, 1, InvalidQuota::Period),
            (1_000_001, SECOND, 1, InvalidQuota::TooFast),
            (u32::MAX, Duration::from_millis(1), 1, InvalidQuota::TooFast),
            (1, LONGEST_PERIOD, 101, InvalidQuota::TooSlow),
            (1, DAY, u32::MAX, InvalidQuota::TooSlow),
        ] {
            assert_eq!(Quota::try_new(tokens, period, burst), Err(error));
        }
        assert!(Quota::try_new(1_000_000, SECOND, u32::MAX).is_ok());
        assert!(Quota::try_new(1, LONGEST_PERIOD, 100).is_ok());
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for (text, quota) in [
            ("300/minute burst 50", Quota::per_minute(300).burst(50)),
            ("5/second", Quota::per_second(5)),
            ("5/hour", Quota::per_hour(5)),
            ("5/day burst 1", Quota::per_day(5).burst(1)),
            ("10/90s", Quota::new(10, Duration::from_secs(90))),
            ("10/1500ms", Quota::new(10, Duration::from_millis(1500))),
        ] {
            assert_eq!(text.parse(), Ok(quota));
            assert_eq!(quota.to_string(), text);
        }
        assert_eq!("5/2m".parse(), Ok(Quota::new(5, MINUTE * 2)));
        assert_eq!(" 5/1h  burst  7 ".parse(), Ok(Quota::per_hour(5).burst(7)));
    }

    #[test]
    fn what_cannot_be_read_is_answered_with_how_to_write_it() {
        for text in [
            "",
            "5",
            "/",
            "5/",
            "/second",
            "five/second",
            "5/seconds",
            "5 / second",
            "5/s",
            "+5/second",
            "-5/second",
            "5/second burst",
            "5/second burst x",
            "5/second burst 5 5",
            "5/second 5",
            "5/+2s",
            "4294967296/day",
            "5/second  bursts 5",
        ] {
            assert_eq!(text.parse::<Quota>(), Err(InvalidQuota::Syntax), "{text:?}");
        }
        assert_eq!("0/second".parse::<Quota>(), Err(InvalidQuota::NoTokens));
        assert_eq!("5/0s".parse::<Quota>(), Err(InvalidQuota::Period));
        assert_eq!("5/99999999d".parse::<Quota>(), Err(InvalidQuota::Period));
        assert_eq!(
            InvalidQuota::Syntax.to_string(),
            "a quota reads like 300/minute, 300/minute burst 50 or 10/90s"
        );
    }

    proptest! {
        #[test]
        fn the_interval_is_never_too_short_and_as_exact_as_promised(
            tokens in 1u32..=1_000_000,
            seconds in 1u64..=86_400,
        ) {
            let quota = Quota::try_new(tokens, Duration::from_secs(seconds), 1).expect("not too fast");
            let exact = seconds as f64 * 1e9 / f64::from(tokens);
            let error = (quota.interval_nanos() as f64 - exact) / exact;
            let per_second = f64::from(tokens) / seconds as f64;
            prop_assert!(error >= -1e-15, "in the caller's favour by {error}");
            prop_assert!(error <= if per_second <= 1e3 { 1e-6 } else { 1e-3 }, "off by {error}");
        }

        #[test]
        fn text_in_is_text_out(tokens in 1u32..1_000_000, burst in 1u32..1000, millis in 1000u32..100_000_000) {
            let quota = Quota::try_new(tokens, Duration::from_millis(millis.into()), burst);
            if let Ok(quota) = quota {
                prop_assert_eq!(quota.to_string().parse(), Ok(quota));
            }
        }
    }
}
