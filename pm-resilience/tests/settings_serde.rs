//! Settings as they stand in files.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::time::Duration;

use pm_resilience::breaker::{BreakerSettings, Mode, Window};
use pm_resilience::health::CheckSettings;
use pm_resilience::limit::Rule;
use pm_resilience::retry::Jitter;
use pm_resilience::shutdown::{Shutdown, ShutdownSettings};
use pm_resilience::{
    BudgetSettings, BulkheadSettings, FallbackSettings, HedgeSettings, LimitSettings,
    PolicySettings, Priority, RetrySettings, ShedSettings, SlowLogSettings, Timeouts,
};
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
        .with_read(Duration::from_millis(800))
        .with_custom("report", Duration::from_secs(60));
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
    stands_as(
        &BulkheadSettings::default(),
        json!({"max": 32, "queue": 0, "wait": "100ms"}),
    );
    stands_as(
        &LimitSettings::default(),
        json!({
            "initial": 20, "min": 1, "max": 1_000,
            "rule": {"gradient": {"tolerance": 1.02, "probe_every": "5s"}},
            "window": "100ms", "samples": 10, "steepest": 0.5, "lost_after": "1s",
        }),
    );
    stands_as(
        &ShedSettings::default(),
        json!({"low": 0.6, "normal": 0.8, "high": 0.95, "critical": 1.0}),
    );
    stands_as(&FallbackSettings::default(), json!({"at_most": 100}));
    stands_as(
        &CheckSettings::default(),
        json!({"every": "5s", "timeout": "2s", "failures": 2, "successes": 1}),
    );
}

/// The fields in which they differ.
fn differ(one: &impl Serialize, other: &impl Serialize) -> Vec<String> {
    let (one, other) = (
        serde_json::to_value(one).unwrap(),
        serde_json::to_value(other).unwrap(),
    );
    let fields = other.as_object().unwrap().iter();
    fields
        .filter(|(field, value)| one.get(*field) != Some(*value))
        .map(|(field, _)| field.clone())
        .collect()
}

#[test]
fn each_setter_sets_the_field_of_its_name() {
    const MS: Duration = Duration::from_millis(1);
    const MIN: NonZeroU32 = NonZeroU32::MIN;
    macro_rules! sets {
        ($($settings:expr => $($setter:ident($value:expr)),+);+ $(;)?) => {
            $($({
                let field = stringify!($setter).trim_start_matches("with_");
                assert_eq!(differ(&$settings, &$settings.$setter($value)), [field]);
            })+)+
        };
    }
    sets! {
        BulkheadSettings::new() => with_max(MIN), with_queue(9), with_wait(MS);
        BudgetSettings::new() => with_percent(9), with_floor_per_second(9), with_reserve(9);
        CheckSettings::new() => with_every(MS), with_timeout(MS), with_failures(MIN);
        CheckSettings::new() => with_successes(MIN.saturating_add(1));
        LimitSettings::new() => with_initial(9), with_min(9), with_max(9), with_samples(9);
        LimitSettings::new() => with_rule(Rule::aimd(MS)), with_window(MS), with_steepest(0.1);
        LimitSettings::new() => with_lost_after(MS);
        RetrySettings::new() => with_attempts(9), with_jitter(Jitter::None), with_patience(MS);
        ShutdownSettings::new() => with_budget(MS), with_delay(MS), with_drain(MS), with_cancel(MS);
        ShutdownSettings::new() => with_close(MS), with_come_back_within(MS);
        SlowLogSettings::default() => with_lines_per_second(9);
        Timeouts::new() => with_read(MS), with_write(MS), with_batch(MS);
    }
    for priority in Priority::ALL {
        let settings = ShedSettings::new().with_share(priority, 0.1);
        assert_eq!(differ(&ShedSettings::new(), &settings), [priority.as_str()]);
    }
}

#[test]
fn a_policy_is_what_its_parts_are() {
    let settings: PolicySettings = serde_json::from_value(json!({
        "timeouts": {"read": "800ms"},
        "breaker": {"open_for": "10s"},
        "bulkhead": {"max": 4},
    }))
    .unwrap();
    assert_eq!(settings.bulkhead.unwrap().max.get(), 4);
    assert_eq!(
        settings.breaker.as_ref().unwrap().open_for,
        Duration::from_secs(10)
    );
    assert_eq!(settings.retry, None);
    let written = serde_json::to_value(&settings).unwrap();
    stands_as(&settings, written);
    assert!(serde_json::from_value::<PolicySettings>(json!({"braker": {}})).is_err());
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

#[test]
fn what_is_not_said_of_a_breaker_is_the_default() {
    let settings: BreakerSettings = serde_json::from_value(json!({})).unwrap();
    assert_eq!(settings, BreakerSettings::new());
}

#[test]
fn a_breaker_is_read_as_it_is_written() {
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
fn short_forms_and_mistakes_of_a_breaker() {
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
