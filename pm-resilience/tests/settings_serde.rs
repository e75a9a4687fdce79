//! Settings as they stand in files.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::fmt::Debug;
use std::time::Duration;

use pm_resilience::{BudgetSettings, HedgeSettings, RetrySettings, SlowLogSettings, Timeouts};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn stands_as<T: Serialize + DeserializeOwned + PartialEq + Debug>(settings: &T, written: Value) {
    assert_eq!(serde_json::to_value(settings).unwrap(), written);
    assert_eq!(&serde_json::from_value::<T>(written).unwrap(), settings);
}

#[test]
fn settings_are_read_as_they_are_written() {
    let timeouts = Timeouts::new()
        .read(Duration::from_millis(800))
        .custom("report", Duration::from_secs(60));
    stands_as(
        &timeouts,
        json!({"read": "800ms", "write": "2s", "batch": "10s", "custom": {"report": "1m"}}),
    );
    stands_as(
        &RetrySettings::new(),
        json!({"attempts": 3, "base": "50ms", "longest": "1s", "jitter": "full", "patience": "30s"}),
    );
    stands_as(
        &BudgetSettings::new(),
        json!({"percent": 20, "floor_per_second": 10, "reserve": 100}),
    );
    stands_as(
        &SlowLogSettings::default(),
        json!({"threshold": "100ms", "lines_per_second": 10}),
    );
    stands_as(
        &HedgeSettings::after(Duration::from_millis(20)),
        json!({"after": "20ms"}),
    );
}

#[test]
fn what_is_not_said_is_the_default_and_what_is_unknown_is_refused() {
    assert_eq!(
        serde_json::from_value::<Timeouts>(json!({})).unwrap(),
        Timeouts::new()
    );
    let empty = serde_json::from_value::<RetrySettings>(json!({}));
    assert_eq!(empty.unwrap(), RetrySettings::new());
    let typo = serde_json::from_value::<RetrySettings>(json!({"attemps": 3}));
    assert!(typo.unwrap_err().to_string().contains("attemps"));
    assert!(serde_json::from_value::<HedgeSettings>(json!({})).is_err());
}
