use std::time::Duration;

/// The units that a time is written with, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Reads a time like `250ms`, `10s`, `5m`, `2h` or `30d`.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let millis = UNITS.iter().find(|(name, _)| *name == unit);
    millis
        .and_then(|(_, millis)| count.parse::<u64>().ok()?.checked_mul(*millis))
        .map(Duration::from_millis)
        .ok_or_else(|| "write a number with a unit, like 250ms, 10s, 5m, 2h or 30d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit() {
        for (text, seconds) in [
            ("0s", 0),
            ("10s", 10),
            ("5m", 300),
            ("2h", 7200),
            ("30d", 2_592_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)));
        }
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn anything_else_is_answered_with_examples() {
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "+1s",
            "1 s",
            "1.5s",
            "10S",
            "10 seconds",
            "99999999999999999999d",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("10s"), "{text}: {error}");
        }
    }
}
