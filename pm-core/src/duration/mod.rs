//! How a time is written by people, in settings and on command lines: a number and a unit, like
//! `250ms`, `10s`, `5m`, `2h` or `30d`.
//!
//! ```
//! use std::time::Duration;
//! use pm_core::duration;
//!
//! assert_eq!(duration::parse("250ms"), Ok(Duration::from_millis(250)));
//! assert_eq!(duration::display(Duration::from_secs(120)).to_string(), "2m");
//! ```
//!
//! With the feature `serde` it is also how a field of settings is written:
//! `#[serde(with = "pm_core::duration")]`.

#[cfg(feature = "serde")]
mod serde;

use std::error::Error;
use std::fmt;
use std::time::Duration;

#[cfg(feature = "serde")]
pub use self::serde::{deserialize, serialize};

/// The units, in nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    SECOND,
    ("m", 60 * SECOND.1),
    ("h", 3_600 * SECOND.1),
    ("d", 86_400 * SECOND.1),
];

/// What is read.
const EXPECTED: &str = "a number with a unit, like 250ms, 10s, 5m, 2h or 30d";

const SECOND: (&str, u128) = ("s", 1_000_000_000);

/// Reads digits and one of the units `ns`, `us`, `ms`, `s`, `m`, `h` and `d`, with nothing between or
/// around them.
///
/// # Errors
///
/// If it is anything else, or more than a [`Duration`] holds.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let (_, unit) = UNITS
        .iter()
        .find(|(name, _)| *name == unit && !count.is_empty())
        .ok_or(InvalidDuration::NotATime)?;
    // Digits that are no number are too many.
    let count = count.parse::<u128>().ok();
    let nanos = count.and_then(|count| count.checked_mul(*unit));
    let nanos = nanos.ok_or(InvalidDuration::TooLong)?;
    let seconds = u64::try_from(nanos / SECOND.1).map_err(|_| InvalidDuration::TooLong)?;
    // Less than a second.
    let rest = (nanos % SECOND.1) as u32;
    Ok(Duration::new(seconds, rest))
}

/// The time in the largest unit that it is a multiple of: what is read is what was written.
#[must_use]
pub const fn display(time: Duration) -> Display {
    Display(time)
}

/// What [`display`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Display(Duration);

impl fmt::Display for Display {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let fits = |(_, unit): &(&str, u128)| nanos > 0 && nanos.is_multiple_of(*unit);
        let (name, unit) = UNITS.into_iter().rev().find(fits).unwrap_or(SECOND);
        write!(f, "{}{name}", nanos / unit)
    }
}

/// Why a text is not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidDuration {
    /// It is not a number with a unit.
    NotATime,
    /// It is more than a [`Duration`] holds.
    TooLong,
}

impl fmt::Display for InvalidDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATime => write!(f, "write {EXPECTED}"),
            Self::TooLong => f.write_str("too long a time, write less than 2^64 seconds"),
        }
    }
}

impl Error for InvalidDuration {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_is_written_in_the_largest_unit_that_leaves_nothing_over() {
        for (nanos, text) in [
            (0, "0s"),
            (7, "7ns"),
            (500_000, "500us"),
            (1_500_000, "1500us"),
            (250_000_000, "250ms"),
            (10_000_000_000, "10s"),
            (90_000_000_000, "90s"),
            (300_000_000_000, "5m"),
            (7_200_000_000_000, "2h"),
            (2_592_000_000_000_000, "30d"),
        ] {
            let time = Duration::from_nanos(nanos);
            assert_eq!(display(time).to_string(), text);
            assert_eq!(parse(text), Ok(time));
        }
    }

    #[test]
    fn what_is_no_time_is_answered_with_examples() {
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "+1s",
            "1.5s",
            "1 s",
            " 1s",
            "1s ",
            "1S",
            "10 seconds",
            "2w",
            "\u{661}s",
            "99999999999999999999",
        ] {
            assert_eq!(parse(text), Err(InvalidDuration::NotATime), "{text}");
        }
        assert!(InvalidDuration::NotATime.to_string().contains("10s"));
    }

    #[test]
    fn a_time_that_is_too_long_is_called_so() {
        let (most, more) = (u128::MAX, format!("{}0s", u128::MAX));
        for text in [
            "18446744073709551616s",
            "99999999999999999999d",
            &format!("{most}h"),
            &format!("{most}ns"),
            &more,
        ] {
            assert_eq!(parse(text), Err(InvalidDuration::TooLong), "{text}");
        }
        let said = InvalidDuration::TooLong.to_string();
        assert!(said.contains("too long"), "{said}");
    }

    proptest! {
        #[test]
        fn a_time_is_read_as_it_was_written(seconds: u64, nanos in 0..1_000_000_000u32) {
            let short = Duration::new(seconds % 10, nanos / 1_000 * 1_000);
            for time in [Duration::new(seconds, nanos), short, Duration::MAX] {
                prop_assert_eq!(parse(&display(time).to_string()), Ok(time));
            }
        }
    }
}
