//! How durations stand in files: `"250ms"`, `"30s"`, `"5m"`, `"1h"`.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserializer, Serializer};

/// From the largest to the smallest, by nanoseconds.
const UNITS: [(&str, u128); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

pub(crate) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    let nanos = value.as_nanos();
    let fits = |(_, unit): &&(&str, u128)| nanos.is_multiple_of(*unit) && nanos > 0;
    match UNITS.iter().find(fits) {
        Some((name, unit)) => to.collect_str(&format_args!("{}{name}", nanos / unit)),
        None => to.serialize_str("0s"),
    }
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    from.deserialize_str(Text)
}

/// The same where there may be none.
pub(crate) mod optional {
    use std::time::Duration;

    use serde::de::Deserializer;
    use serde::{Deserialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::serialize(value, to),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        #[derive(Deserialize)]
        struct Wrapped(#[serde(with = "super")] Duration);

        Ok(Option::<Wrapped>::deserialize(from)?.map(|Wrapped(value)| value))
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number and a unit, such as \"250ms\", \"30s\", \"5m\" or \"1h\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, name) = text.split_at(digits);
    let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == name)?;
    let nanos = number.parse::<u64>().ok()?.checked_mul(u64::try_from(*unit).ok()?)?;
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for (nanos, text) in [
            (0, "\"0s\""),
            (250_000_000, "\"250ms\""),
            (1_500_000_000, "\"1500ms\""),
            (30_000_000_000, "\"30s\""),
            (300_000_000_000, "\"5m\""),
            (7_200_000_000_000, "\"2h\""),
            (1_001, "\"1001ns\""),
        ] {
            let value = Duration::from_nanos(nanos);
            let mut out = Vec::new();
            serialize(&value, &mut serde_json::Serializer::new(&mut out)).expect("it is text");
            assert_eq!(String::from_utf8(out).expect("text"), text);
            let read = deserialize(&mut serde_json::Deserializer::from_str(text));
            assert_eq!(read.expect("what was written"), value);
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "30", "s", "1.5s", "-1s", "30 s", "1d", "99999999999999h"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
