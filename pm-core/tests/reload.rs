//! What a live setting promises to those who read, follow and change it.
#![cfg(feature = "reload")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use futures_util::stream;
use pm_core::reload::{InvalidSetting, Redacted, Setting};
use pm_testing::{Log, drive};
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq)]
struct Limits {
    rate: u32,
    /// Ten times the rate, or it is not valid.
    burst: u32,
    key: Redacted<&'static str>,
}

fn limits(rate: u32, burst: u32) -> Limits {
    Limits {
        rate,
        burst,
        key: Redacted("hunter2"),
    }
}

fn check(limits: &Limits) -> Result<(), InvalidSetting> {
    if limits.rate == 0 {
        return Err(InvalidSetting::new("limits.rate", "at least 1"));
    }
    if limits.burst != limits.rate * 10 {
        return Err(InvalidSetting::new("limits.burst", "ten times the rate"));
    }
    Ok(())
}

fn setting() -> Setting<Limits> {
    Setting::new("limits", limits(1, 10), check).expect("valid")
}

proptest! {
    #[test]
    fn p001_8_configuration_validation(
        offers in proptest::collection::vec((0u32..4, 0u32..40, any::<bool>()), 0..50),
    ) {
        let setting = setting();
        let mut follower = setting.follow();
        let (mut version, mut value) = setting.versioned();
        for (rate, burst, whole) in offers {
            let offer = limits(rate, if whole { rate * 10 } else { burst });
            let (replaced, held) = (setting.try_replace(offer.clone()), setting.current());
            match check(&offer) {
                Ok(()) => {
                    version += 1;
                    prop_assert_eq!(replaced, Ok(version));
                    prop_assert_eq!(&*held, &offer);
                    prop_assert!(Arc::ptr_eq(&drive(follower.next()), &held));
                }
                Err(invalid) => {
                    prop_assert_eq!(replaced, Err(invalid));
                    prop_assert!(Arc::ptr_eq(&held, &value), "the old one does not stay");
                    let mut next = pin!(follower.next());
                    let next = next.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    prop_assert!(next.is_pending(), "told of what was refused");
                }
            }
            prop_assert_eq!(setting.version(), version);
            value = held;
        }
    }

    #[test]
    fn a_stream_ends_at_its_last_valid_value(rates in proptest::collection::vec(0u32..5, 0..20)) {
        let setting = setting();
        let offers: Vec<_> = rates.iter().map(|&rate| limits(rate, 10 * rate)).collect();
        let valid: Vec<_> = offers.iter().filter(|offer| check(offer).is_ok()).collect();
        let last = valid.last().map_or(1, |last| last.rate);
        let replaced = valid.len() as u64;
        drive(setting.follow_stream(stream::iter(offers)));
        prop_assert_eq!((setting.version(), setting.current().rate), (1 + replaced, last));
    }
}

#[test]
fn a_first_value_that_is_not_valid_makes_no_setting() {
    let refused = Setting::new("limits", limits(1, 9), check).expect_err("not valid");
    assert_eq!(refused.field(), "limits.burst");
    assert_eq!(refused.reason(), "ten times the rate");
}

#[test]
fn readers_see_whole_values_and_versions_that_never_go_back() {
    let (setting, done) = (setting(), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let (version, value) = setting.versioned();
                    assert!(version >= last && check(&value).is_ok());
                    last = version;
                }
            });
        }
        let writers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for rate in 1..500 {
                        setting.try_replace(limits(rate, rate * 10)).expect("valid");
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().expect("no panic");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(setting.version(), 1 + 2 * 499, "a version was given twice");
}

#[test]
fn a_dropped_wait_takes_no_value_with_it() {
    let setting = setting();
    let mut follower = setting.follow();
    {
        let mut next = pin!(follower.next());
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(next.as_mut().poll(cx).is_pending());
        setting.try_replace(limits(2, 20)).expect("valid");
        // Woken, and dropped before it is polled.
    }
    assert_eq!(follower.version(), 1);
    let mut next = pin!(follower.next());
    let next = next.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(next, Poll::Ready(value) if value.rate == 2));
}

#[test]
fn the_log_says_what_changed_and_no_secret() {
    let log = Log::capture(tracing::Level::INFO);
    let setting = setting();
    drive(setting.follow_stream(stream::iter([limits(2, 20), limits(0, 0)])));
    let expected = [
        r#" INFO pm_core::reload::setting: setting replaced setting="limits" version=2 old="rate: 1, burst: 10" new="rate: 2, burst: 20""#,
        r#" WARN pm_core::reload::setting: setting refused, the old one stays setting="limits" version=2 error=`limits.rate` is not valid: at least 1"#,
    ];
    assert_eq!(log.lines(), expected);
    assert!(!format!("{setting:?}").contains("hunter2"));
}
