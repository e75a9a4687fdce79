use serde::{Serialize, Serializer};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Microseconds since 1970, UTC; RFC 3339 as JSON, or `null` outside the years that it can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(pub(super) i64);

impl Time {
    fn rfc_3339(self) -> Option<String> {
        let nanos = i128::from(self.0) * 1_000;
        let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
        time.format(&Rfc3339).ok()
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rfc_3339().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        for (micros, text) in [
            (0, Some("1970-01-01T00:00:00Z")),
            (1_767_225_600_000_000, Some("2026-01-01T00:00:00Z")),
            (1_767_225_600_000_001, Some("2026-01-01T00:00:00.000001Z")),
            (-500_000, Some("1969-12-31T23:59:59.5Z")),
            (i64::MAX, None),
            (i64::MIN, None),
        ] {
            assert_eq!(Time(micros).rfc_3339().as_deref(), text);
        }
    }
}
