//! Every handle takes other settings and keeps its state; a wrong one is refused and named.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::future::{Future, pending, ready};
use std::num::NonZeroU32;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pm_core::Clock;
use pm_core::reload::InvalidSetting;
use pm_resilience::breaker::State;
use pm_resilience::classify::Errors;
use pm_resilience::health::{Check, CheckSettings, Health};
use pm_resilience::limit::Rule;
use pm_resilience::shutdown::{Drain, Kind, Shutdown, ShutdownSettings};
use pm_resilience::{
    Breaker, BreakerSettings, Budget, BudgetSettings, Bulkhead, BulkheadSettings, Class, Fallback,
    Hedge, HedgeSettings, Limit, LimitSettings, Outcome, Policy, PolicySettings, Priority, Retry,
    RetrySettings, Shed, ShedSettings, SlowLog, SlowLogSettings, Timeout, Timeouts,
};

const MS: Duration = Duration::from_millis(1);
const ZERO: Duration = Duration::ZERO;

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn refused(result: Result<(), InvalidSetting>) -> String {
    result.unwrap_err().field().to_owned()
}

fn max(max: u32) -> BulkheadSettings {
    BulkheadSettings::new().with_max(NonZeroU32::new(max).unwrap())
}

fn health() -> Health {
    let check = Check::critical("db", || ready(Ok::<_, std::io::Error>(())));
    Health::builder()
        .check(check)
        .clock(Clock::manual().0)
        .build()
        .unwrap()
}

fn drain() -> Drain {
    Shutdown::new(ShutdownSettings::default()).unwrap().drain()
}

#[test]
fn a_wrong_setting_changes_nothing_and_is_named() {
    let budget = || Budget::percent(20);
    let breaker = Breaker::new("x", BreakerSettings::new()).unwrap();
    let limit = Limit::new("x", LimitSettings::default()).unwrap();
    let shed = Shed::new(limit.clone(), ShedSettings::default()).unwrap();
    let retry = Retry::new("x", RetrySettings::new(), budget()).unwrap();
    let hedge = Hedge::new("x", HedgeSettings::after(MS), budget()).unwrap();
    let timeout = Timeout::new("x", Timeouts::new()).unwrap();
    let slow_log = SlowLog::new("x", SlowLogSettings::default()).unwrap();
    let policy = Policy::named("x").build().unwrap();

    let mut no_reserve = BudgetSettings::new();
    no_reserve.reserve = 0;
    let mut parts = PolicySettings::default();
    parts.timeouts = Some(Timeouts::new().with_read(9 * MS));
    parts.retry = Some(RetrySettings::new());
    let table = [
        (
            "probes",
            breaker.reload(BreakerSettings::new().with_probes(0)),
        ),
        ("min", limit.reload(LimitSettings::new().with_min(0))),
        (
            "low",
            shed.reload(ShedSettings::new().with_share(Priority::Low, 0.0)),
        ),
        ("reserve", retry.budget().reload(no_reserve)),
        (
            "attempts",
            retry.reload(RetrySettings::new().with_attempts(0)),
        ),
        ("after", hedge.reload(HedgeSettings::after(ZERO))),
        ("read", timeout.reload(Timeouts::new().with_read(ZERO))),
        ("threshold", slow_log.reload(SlowLogSettings::above(ZERO))),
        (
            "db.every",
            health().reload("db", CheckSettings::new().with_every(ZERO)),
        ),
        ("cache", health().reload("cache", CheckSettings::default())),
        (
            "budget",
            drain().reload(ShutdownSettings::new().with_budget(MS)),
        ),
        ("retry", policy.reload(parts)),
    ];
    for (field, result) in table {
        assert_eq!(refused(result), field);
    }
    assert_eq!(
        policy.timeout().of(Class::Read),
        1_000 * MS,
        "not a half of it"
    );
    assert_eq!(breaker.settings(), BreakerSettings::new());
    assert_eq!(limit.settings(), LimitSettings::default());
}

#[test]
fn a_breaker_stays_where_it_is() {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::new("x", BreakerSettings::new())
        .unwrap()
        .with_clock(clock);
    for _ in 0..5 {
        breaker.try_acquire().unwrap().settle(Outcome::Failure);
    }
    breaker
        .reload(BreakerSettings::new().with_consecutive_failures(50))
        .unwrap();
    assert_eq!(breaker.state(), State::Open);
    time.advance(Duration::from_secs(29));
    assert!(breaker.try_acquire().is_err());
}

#[test]
fn permits_that_are_held_stay_held() {
    let bulkhead = Bulkhead::new("x", max(2));
    let held = (
        bulkhead.try_acquire().unwrap(),
        bulkhead.try_acquire().unwrap(),
    );
    bulkhead.reload(max(1));
    assert_eq!(bulkhead.in_flight(), 2);
    drop(held);
    let _one = bulkhead.try_acquire().unwrap();
    assert!(bulkhead.try_acquire().is_err());

    let settings = |max| {
        LimitSettings::new()
            .with_initial(2)
            .with_max(max)
            .with_rule(Rule::aimd(MS))
    };
    let limit = Limit::new("x", settings(10)).unwrap();
    let shed = Shed::new(limit.clone(), ShedSettings::default()).unwrap();
    let held = (
        shed.try_acquire(Priority::Critical).unwrap(),
        limit.try_acquire().unwrap(),
    );
    limit.reload(settings(2)).unwrap();
    shed.reload(
        ShedSettings::new()
            .with_share(Priority::Low, 1.0)
            .with_share(Priority::Normal, 1.0)
            .with_share(Priority::High, 1.0)
            .with_share(Priority::Critical, 1.0),
    )
    .unwrap();
    assert_eq!(limit.in_flight(), 2);
    drop(held);
    let _held = (
        shed.try_acquire(Priority::Low).unwrap(),
        shed.try_acquire(Priority::Low).unwrap(),
    );

    let fallback = Fallback::new("x", 2);
    let mut inside = pin!(fallback.run(ready(Err::<(), ()>(())), |()| pending()));
    assert!(poll(inside.as_mut()).is_pending());
    fallback.reload(1);
    assert_eq!(fallback.in_flight(), 1);

    let drain = drain();
    let guard = drain.hold(Kind::Request);
    drain
        .reload(ShutdownSettings::new().with_delay(ZERO))
        .unwrap();
    assert_eq!(
        (drain.held(Kind::Request), drain.settings().delay),
        (1, ZERO)
    );
    drop(guard);
}

#[test]
fn what_was_saved_up_stays() {
    let (clock, _time) = Clock::manual();
    let budget = Budget::percent(100).with_clock(clock.clone());
    budget.deposit();
    budget.deposit();
    let mut half = BudgetSettings::new();
    half.percent = 50;
    half.floor_per_second = 0;
    budget.reload(half).unwrap();
    assert_eq!(budget.saved(), 2);
    let retry = Retry::new("x", RetrySettings::new(), budget.clone()).unwrap();
    retry.reload(RetrySettings::new().with_attempts(1)).unwrap();
    let hedge = Hedge::new("x", HedgeSettings::after(MS), budget)
        .unwrap()
        .with_clock(clock);
    hedge.reload(HedgeSettings::after(2 * MS)).unwrap();
    assert_eq!((retry.budget().saved(), hedge.budget().saved()), (2, 2));
    let hung = poll(pin!(hedge.run(Errors, pending::<Result<(), ()>>)));
    assert!(hung.is_pending());
}

#[test]
fn what_is_known_of_a_dependency_stays() {
    let health = health();
    let mut run = Box::pin(health.run());
    assert!(poll(run.as_mut()).is_pending());
    assert!(health.is_started());
    let wider = CheckSettings::new().with_every(Duration::from_secs(60));
    health.reload("db", wider).unwrap();
    assert!(health.is_started() && health.is_ready());
}

#[test]
fn a_policy_changes_what_is_named_and_keeps_the_rest() {
    let policy = Policy::named("x")
        .breaker(BreakerSettings::new().with_consecutive_failures(1))
        .retry(RetrySettings::new())
        .bulkhead(max(1))
        .clock(Clock::manual().0)
        .build()
        .unwrap();
    let mut call = Box::pin(policy.write("a", pending::<Result<(), ()>>));
    assert!(poll(call.as_mut()).is_pending());
    let mut settings = PolicySettings::default();
    settings.bulkhead = Some(max(2));
    settings.timeouts = Some(Timeouts::new().with_read(7 * MS));
    settings.fallback = Some(3.into());
    policy.reload(settings).unwrap();
    assert_eq!(policy.bulkhead().unwrap().in_flight(), 1);
    assert_eq!(policy.timeout().of(Class::Read), 7 * MS);
    assert_eq!(policy.retry().unwrap().settings(), RetrySettings::new());
    let failed = poll(pin!(policy.write("a", || ready(Err::<(), ()>(())))));
    assert!(failed.is_ready());
    let mut settings = PolicySettings::default();
    settings.breaker = Some(BreakerSettings::new());
    policy.reload(settings).unwrap();
    assert_eq!(policy.breaker().state(), State::Open);
}

#[test]
fn a_probe_of_a_policy_has_the_longest_time_out_whatever_is_reloaded() {
    let (clock, time) = Clock::manual();
    let times = |batch: u32| {
        Timeouts::new()
            .with_read(MS)
            .with_write(MS)
            .with_batch(batch * MS)
    };
    let settings = || BreakerSettings::new().with_consecutive_failures(1);
    let policy = Policy::named("x")
        .timeouts(times(300))
        .breaker(settings())
        .clock(clock)
        .build()
        .unwrap();
    let breaker = policy.breaker();
    // A probe that never comes back holds its place for its lease.
    let mut lost = Vec::new();
    let mut lease = || {
        lost.push(breaker.try_acquire().unwrap());
        breaker.try_acquire().unwrap_err().retry_after().unwrap()
    };
    breaker.reload(settings()).unwrap();
    breaker.try_acquire().unwrap().settle(Outcome::Failure);
    time.advance(30_000 * MS);
    assert_eq!(lease(), 300 * MS);
    time.advance(300 * MS);
    policy.timeout().reload(times(500)).unwrap();
    assert_eq!(lease(), 500 * MS);
    time.advance(500 * MS);
    let mut changed = PolicySettings::default();
    changed.breaker = Some(settings());
    changed.timeouts = Some(times(700));
    policy.reload(changed).unwrap();
    assert_eq!(lease(), 700 * MS);
    time.advance(700 * MS);
    breaker.reload(settings().with_probe_lease(5 * MS)).unwrap();
    assert_eq!(lease(), 5 * MS, "unless it is said");
}
