//! A budget is exact, whoever races.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pm_core::Clock;
use pm_resilience::Budget;
use proptest::prelude::*;

/// What 64 threads withdraw that all begin at once.
fn race(budget: &Budget) -> usize {
    let barrier = Barrier::new(64);
    let withdrawn = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..10 {
                    if budget.try_withdraw() {
                        withdrawn.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    withdrawn.into_inner()
}

#[test]
fn trap_k_a_budget_of_60_percent_allows_60_retries_per_100_with_64_tasks_racing() {
    let budget = Budget::percent(60).with_clock(Clock::manual().0);
    for _ in 0..10 {
        for _ in 0..100 {
            budget.deposit();
        }
        assert_eq!(race(&budget), 60);
    }
}

#[test]
fn deposits_that_race_are_all_counted() {
    let budget = Budget::percent(10).with_clock(Clock::manual().0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..100).for_each(|_| budget.deposit()));
        }
    });
    assert_eq!(budget.saved(), 80);
    assert_eq!(race(&budget), 80);
}

#[test]
fn a_reload_keeps_what_was_saved() {
    let budget = Budget::percent(100).with_clock(Clock::manual().0);
    (0..50).for_each(|_| budget.deposit());
    let mut settings = budget.settings();
    settings.percent = 10;
    budget.reload(settings).unwrap();
    assert_eq!(budget.saved(), 50);
    settings.reserve = 20;
    budget.reload(settings).unwrap();
    assert_eq!(budget.saved(), 20);
    settings.percent = 1_001;
    let refused = budget.reload(settings).unwrap_err();
    assert_eq!(refused.field(), "percent");
    assert_eq!(budget.settings().percent, 10);
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Deposit,
    Withdraw,
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => Just(Act::Deposit),
        3 => Just(Act::Withdraw),
        1 => (1..2_000u64).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 0..400)
}

proptest! {
    #[test]
    fn never_more_than_the_share_and_the_floor(
        acts in acts(),
        percent in 0..200u32,
        floor in 0..20u32,
    ) {
        let (clock, time) = Clock::manual();
        let budget = Budget::percent(percent).with_floor_per_second(floor).with_clock(clock);
        let (mut deposits, mut millis, mut withdrawn) = (0, 0, 0);
        for act in acts {
            match act {
                Act::Deposit => {
                    budget.deposit();
                    deposits += u64::from(percent);
                }
                Act::Withdraw => withdrawn += u64::from(budget.try_withdraw()),
                Act::Wait(wait) => {
                    time.advance(std::time::Duration::from_millis(wait));
                    millis += wait;
                }
            }
        }
        let floor = u64::from(floor) * (1_000 + millis) / 10;
        prop_assert!(withdrawn * 100 <= deposits + floor, "{withdrawn} of {deposits} + {floor}");
    }
}
