//! How settings write a time in a file: a number and a unit, like `250ms`, `10s` or `5m`.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserializer, Serializer};

/// The units, in milliseconds.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

pub(crate) fn serialize<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let whole = UNITS.iter().rev().find(|(_, unit)| millis % unit == 0);
    let (name, unit) = whole.expect("everything is a multiple of one");
    serializer.collect_str(&format_args!("{}{name}", millis / unit))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(Text)
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number with a unit, like 250ms, 10s, 5m or 2h")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at(digits);
        let millis = UNITS.iter().find(|(name, _)| *name == unit);
        millis
            .and_then(|(_, millis)| count.parse::<u64>().ok()?.checked_mul(*millis))
            .map(Duration::from_millis)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}
