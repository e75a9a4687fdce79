//! How settings write a time in a file: a number and a unit, like `250ms`, `10s` or `5m`.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserializer, Serializer};

/// The units, in nanoseconds.
const UNITS: [(&str, u128); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    SECOND,
    ("m", 60 * SECOND.1),
    ("h", 3_600 * SECOND.1),
];

const SECOND: (&str, u128) = ("s", 1_000_000_000);

/// In the largest unit that it is a multiple of, so that what is read is what was written.
pub(crate) fn serialize<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let nanos = duration.as_nanos();
    let mut units = UNITS.into_iter().rev();
    let (name, unit) = units
        .find(|(_, unit)| nanos > 0 && nanos.is_multiple_of(*unit))
        .unwrap_or(SECOND);
    serializer.collect_str(&format_args!("{}{name}", nanos / unit))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(Text)
}

fn parse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let nanos = count.parse::<u128>().ok()?.checked_mul(*unit)?;
    let seconds = u64::try_from(nanos / SECOND.1).ok()?;
    let rest = u32::try_from(nanos % SECOND.1).expect("less than a second");
    Some(Duration::new(seconds, rest))
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number with a unit, like 250ms, 10s, 5m or 2h")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(duration: Duration) -> String {
        let written = serialize(&duration, serde_json::value::Serializer).unwrap();
        written.as_str().unwrap().to_owned()
    }

    fn read(text: &str) -> Option<Duration> {
        deserialize(&serde_json::Value::from(text)).ok()
    }

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
        ] {
            assert_eq!(write(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", "5", "s", "-1s", "+1s", "1.5s", "1 s", "1S", "2d", "1s "] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("18446744073709551616s"), None, "too long");
        assert_eq!(read(&format!("{}h", u128::MAX)), None, "too long");
    }

    proptest! {
        #[test]
        fn a_time_is_read_as_it_was_written(seconds: u64, nanos in 0..1_000_000_000u32) {
            let short = Duration::new(seconds % 10, nanos / 1_000 * 1_000);
            for time in [Duration::new(seconds, nanos), short, Duration::MAX] {
                prop_assert_eq!(read(&write(time)), Some(time));
            }
        }
    }
}
