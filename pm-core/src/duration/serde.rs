use std::fmt;
use std::time::Duration;

use serde::de::{self, Visitor};
use serde::{Deserializer, Serializer};

use super::{EXPECTED, InvalidDuration, display, parse};

/// Writes a time as a text, like `250ms`.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&display(*time))
}

/// Reads a time from a text, like `250ms`.
///
/// # Errors
///
/// If it is no text, or not a time.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_str(Text)
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(|error| match error {
            InvalidDuration::NotATime => E::invalid_value(de::Unexpected::Str(text), &self),
            InvalidDuration::TooLong => E::custom(error),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_time_is_a_text_with_a_unit() {
        let time = Duration::from_millis(250);
        let written = serialize(&time, serde_json::value::Serializer).unwrap();
        assert_eq!(written, Value::from("250ms"));
        assert_eq!(deserialize(&written).unwrap(), time);
        for wrong in [Value::from(250), Value::from("250"), Value::Null] {
            let error = deserialize(&wrong).unwrap_err().to_string();
            assert!(error.contains("like 250ms"), "{error}");
        }
        let error = deserialize(Value::from("99999999999999999999d")).unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }
}
