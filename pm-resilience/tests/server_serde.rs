//! Settings as files write them.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::time::Duration;

use pm_resilience::shutdown::{Shutdown, ShutdownSettings};
use serde_json::json;

#[test]
fn times_have_a_unit() {
    let settings: ShutdownSettings =
        serde_json::from_value(json!({"delay": "0s", "drain": "2500ms"})).unwrap();
    assert_eq!(settings.delay, Duration::ZERO);
    assert_eq!(settings.drain, Duration::from_millis(2_500));
    assert_eq!(settings.close, ShutdownSettings::default().close);
    let written = serde_json::to_value(&settings).unwrap();
    assert_eq!(written["drain"], json!("2500ms"));
    assert_eq!(
        serde_json::from_value::<ShutdownSettings>(written).unwrap(),
        settings
    );
}

#[test]
fn a_time_that_is_none_is_refused() {
    for wrong in [
        json!({"delay": "-1s"}),
        json!({"delay": 5}),
        json!({"dely": "1s"}),
    ] {
        assert!(serde_json::from_value::<ShutdownSettings>(wrong).is_err());
    }
}

#[test]
fn what_a_file_says_is_checked_where_it_is_used() {
    let settings = serde_json::from_value(json!({"budget": "10s"})).unwrap();
    assert_eq!(Shutdown::new(settings).unwrap_err().field(), "budget");
}
