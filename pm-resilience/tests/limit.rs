//! A limit that adapts, as a handle in virtual time.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::time::Duration;

use pm_core::{Clock, ManualTime};
use pm_resilience::limit::{Limit, LimitSettings, Permit, Rule};
use pm_resilience::shed::{Shed, ShedSettings};
use pm_resilience::{Outcome, Pattern, Priority, Reason};

const MILLI: Duration = Duration::from_millis(1);

fn gradient() -> LimitSettings {
    LimitSettings::default()
}

fn aimd(takes: Duration) -> LimitSettings {
    LimitSettings::new().with_rule(Rule::aimd(takes.mul_f64(1.15)))
}

fn limit(settings: LimitSettings) -> (Limit, ManualTime) {
    let (clock, time) = Clock::manual();
    (
        Limit::new("limit", settings).unwrap().with_clock(clock),
        time,
    )
}

#[test]
fn idle_calls_never_let_it_grow() {
    for rule in [Rule::gradient(), Rule::aimd(Duration::from_secs(1))] {
        let (limit, time) = limit(gradient().with_rule(rule));
        for _ in 0..10_000 {
            let permits: Vec<_> = (0..4).map(|_| limit.try_acquire().unwrap()).collect();
            time.advance(10 * MILLI);
            permits.into_iter().for_each(|p| p.settle(Outcome::Success));
        }
        assert!(limit.limit() <= 20, "{rule:?}: {}", limit.limit());
    }
}

#[test]
fn calls_that_come_to_take_far_longer_are_found_out_not_to_queue() {
    let (limit, time) = limit(gradient());
    let run = |seconds: u64, takes: Duration| {
        for _ in 0..(seconds * 1_000).div_ceil(takes.as_millis() as u64) {
            let permits: Vec<_> = std::iter::from_fn(|| limit.try_acquire().ok()).collect();
            time.advance(takes);
            permits.into_iter().for_each(|p| p.settle(Outcome::Success));
        }
        limit.limit()
    };
    let fast = run(5, 10 * MILLI);
    // At first it looks like a queue, and one at a time is what is left of the limit.
    let slow = run(60, 1_500 * MILLI);
    assert!(slow >= fast / 2, "{slow} behind {fast}");
}

#[test]
fn an_outage_during_a_probe_is_shed_at_once() {
    let settings = gradient().with_initial(200).with_max(200);
    let (limit, time) = limit(settings);
    let round = |settle: fn(Permit)| {
        let permits: Vec<_> = std::iter::from_fn(|| limit.try_acquire().ok()).collect();
        let let_in = permits.len() as u64;
        time.advance(10 * MILLI);
        permits.into_iter().for_each(settle);
        let_in
    };
    let probes = || (0..200).any(|_| round(|permit| permit.settle(Outcome::Success)) < 200);
    assert!(probes(), "for two seconds");
    assert_eq!(limit.limit(), 200);
    for _ in 0..100 {
        round(Permit::timed_out);
    }
    assert_eq!(limit.limit(), 1, "after a second without an answer");
    // And back, once there are answers again.
    for _ in 0..1_000 {
        round(|permit| permit.settle(Outcome::Success));
    }
    assert!(limit.limit() >= 50, "{}", limit.limit());
}

#[test]
fn what_is_lost_during_a_probe_counts_by_its_share() {
    let (limit, time) = limit(gradient().with_initial(200).with_max(200));
    let round = |lost: usize| {
        let permits: Vec<_> = std::iter::from_fn(|| limit.try_acquire().ok()).collect();
        let let_in = permits.len();
        time.advance(100 * MILLI);
        for (at, permit) in permits.into_iter().enumerate() {
            if at % 4 < lost {
                permit.timed_out();
            } else {
                permit.settle(Outcome::Success);
            }
        }
        let_in
    };
    assert!((0..20).any(|_| round(0) < 200), "no probe in two seconds");
    round(1);
    let left = limit.limit();
    assert!((140..200).contains(&left), "{left}");
}

#[test]
fn calls_that_are_ready_at_once_do_not_make_quick_ones_look_slow() {
    let (limit, time) = limit(gradient());
    let round = |takes: Duration| {
        let permits: Vec<_> = std::iter::from_fn(|| limit.try_acquire().ok()).collect();
        time.advance(takes);
        permits.into_iter().for_each(|p| p.settle(Outcome::Success));
        time.advance(100 * MILLI);
        limit.limit()
    };
    let mut before = (0..20).map(|_| round(Duration::ZERO)).max().unwrap();
    for _ in 0..50 {
        let now = round(Duration::from_nanos(200));
        assert!(now >= before, "{now} behind {before}");
        before = now;
    }
}

#[test]
fn those_who_make_no_room_for_a_probe_do_not_keep_it_from_moving() {
    let (limit, time) = limit(gradient());
    let shed = Shed::new(limit.clone(), ShedSettings::new()).unwrap();
    let mut under_way = VecDeque::new();
    let mut passed = Duration::ZERO;
    while passed < Duration::from_secs(5) {
        // One ends and another one comes: as many as may are under way, each for 10 ms.
        under_way.extend(std::iter::from_fn(|| shed.try_acquire(Priority::High).ok()));
        let step = 10 * MILLI / under_way.len() as u32;
        time.advance(step);
        passed += step;
        let first: Permit = under_way.pop_front().unwrap();
        first.settle(Outcome::Success);
    }
    // Nothing queues for five seconds, one of which a probe takes.
    assert!(limit.limit() > 60, "{}", limit.limit());
}

#[test]
fn a_window_decreases_it_once_however_many_calls_were_lost() {
    let (limit, time) = limit(aimd(50 * MILLI));
    let permits: Vec<_> = (0..20).map(|_| limit.try_acquire().unwrap()).collect();
    assert!(limit.try_acquire().is_err());
    time.advance(100 * MILLI);
    permits.into_iter().for_each(Permit::timed_out);
    assert_eq!(limit.limit(), 18);
}

#[test]
fn a_call_that_is_given_up_late_is_lost_and_one_given_up_early_says_nothing() {
    for (after, left) in [(999, 20), (1_000, 18)] {
        let (limit, time) = limit(aimd(50 * MILLI));
        let permits: Vec<_> = (0..10).map(|_| limit.try_acquire().unwrap()).collect();
        time.advance(after * MILLI);
        drop(permits);
        assert_eq!(limit.limit(), left, "after {after} ms");
        assert_eq!(limit.in_flight(), 0);
    }
}

#[test]
fn what_is_said_first_counts_and_what_is_ignored_says_nothing() {
    let (limit, time) = limit(aimd(50 * MILLI));
    for _ in 0..20 {
        let mut permit = limit.try_acquire().unwrap();
        time.advance(10 * MILLI);
        permit.tell(Outcome::Ignored);
        permit.timed_out();
    }
    assert_eq!(limit.limit(), 20);
}

#[test]
fn a_rejection_names_the_limit() {
    let (limit, _time) = limit(gradient().with_initial(1));
    let _permit = limit.try_acquire().unwrap();
    let rejection = limit.try_acquire().unwrap_err();
    assert_eq!(rejection.name(), "limit");
    assert_eq!(
        (rejection.by(), rejection.reason()),
        (Pattern::Limit, Reason::Full)
    );
}

#[test]
fn settings_change_and_what_was_learnt_stays() {
    let (limit, time) = limit(aimd(50 * MILLI));
    let permits: Vec<_> = (0..20).map(|_| limit.try_acquire().unwrap()).collect();
    time.advance(100 * MILLI);
    permits.into_iter().for_each(Permit::timed_out);
    let wider = gradient().with_initial(500);
    limit.reload(wider.clone()).unwrap();
    assert_eq!(limit.limit(), 18);
    limit.reload(wider.with_max(7).with_initial(7)).unwrap();
    assert_eq!(limit.limit(), 7);
    let permits: Vec<_> = std::iter::from_fn(|| limit.try_acquire().ok()).collect();
    assert_eq!(permits.len(), 7);
}

#[test]
fn a_setting_that_is_not_valid_is_named() {
    let with = |change: fn(&mut LimitSettings)| {
        let mut settings = gradient();
        change(&mut settings);
        Limit::new("x", settings).unwrap_err().field().to_owned()
    };
    assert_eq!(with(|s| s.min = 0), "min");
    assert_eq!(with(|s| s.max = 0), "max");
    assert_eq!(with(|s| s.initial = 2_000), "initial");
    assert_eq!(with(|s| s.window = Duration::ZERO), "window");
    assert_eq!(with(|s| s.samples = 0), "samples");
    assert_eq!(with(|s| s.steepest = f64::NAN), "steepest");
    assert_eq!(with(|s| s.rule = Rule::aimd(Duration::ZERO)), "rule.slow");
    let (limit, _time) = limit(gradient());
    let shares = ShedSettings::new().with_share(Priority::Low, 0.9);
    assert_eq!(Shed::new(limit, shares).unwrap_err().field(), "normal");
}

#[test]
fn shares_are_those_of_the_limit() {
    let (limit, _time) = limit(gradient().with_initial(100));
    let shed = Shed::new(limit, ShedSettings::default()).unwrap();
    let mut held = Vec::new();
    for (priority, up_to) in [
        (Priority::Low, 60),
        (Priority::Normal, 80),
        (Priority::High, 95),
        (Priority::Critical, 100),
    ] {
        held.extend(std::iter::from_fn(|| shed.try_acquire(priority).ok()));
        assert_eq!(held.len(), up_to, "{priority}");
        let rejection = shed.try_acquire(priority).unwrap_err();
        assert_eq!(rejection.reason(), Reason::Overloaded);
    }
}
