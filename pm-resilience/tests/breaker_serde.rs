//! Settings of a breaker, as they stand in files.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::time::Duration;

use pm_resilience::breaker::{BreakerSettings, Mode, Window};
use serde_json::json;

#[test]
fn what_is_not_said_is_the_default() {
    let settings: BreakerSettings = serde_json::from_value(json!({})).unwrap();
    assert_eq!(settings, BreakerSettings::new());
}

#[test]
fn settings_are_read_as_they_are_written() {
    let settings = BreakerSettings::new()
        .with_consecutive_failures(0)
        .with_failure_rate(0.5)
        .with_slow_calls(0.25, Duration::from_millis(500))
        .with_window(Window::time(Duration::from_secs(10)).with_slices(5))
        .with_probe_lease(Duration::from_secs(2))
        .with_mode(Mode::ObserveOnly);
    let written = serde_json::to_value(&settings).unwrap();
    assert_eq!(
        written["window"],
        json!({"time": {"length": "10s", "slices": 5}})
    );
    assert_eq!(
        written["slow_calls"],
        json!({"rate": 0.25, "after": "500ms"})
    );
    assert_eq!(written["mode"], json!("observe_only"));
    let read: BreakerSettings = serde_json::from_value(written).unwrap();
    assert_eq!(read, settings);
}

#[test]
fn short_forms_and_mistakes() {
    let read = |value| serde_json::from_value::<BreakerSettings>(value);
    let settings = read(json!({"window": {"calls": 50}})).unwrap();
    assert_eq!(settings.window, Window::calls(50));
    let settings = read(json!({"window": {"time": {"length": "1m"}}})).unwrap();
    assert_eq!(settings.window, Window::time(Duration::from_secs(60)));
    for wrong in [
        json!({"open_for": 30}),
        json!({"open_four": "30s"}),
        json!({"mode": "off"}),
        json!({"slow_calls": {"rate": 0.5}}),
    ] {
        assert!(read(wrong.clone()).is_err(), "{wrong}");
    }
}
