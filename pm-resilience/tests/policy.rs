//! A policy as a whole: what it calls, what it counts, and what it leaves alone.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::cell::Cell;
use std::future::{Future, pending, ready};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pm_core::stale::{Aged, Stale, StaleSource};
use pm_core::{Clock, ManualTime};
use pm_resilience::breaker::State;
use pm_resilience::policy::{PolicyBuilder, Served};
use pm_resilience::retry::Jitter;
use pm_resilience::{
    BreakerSettings, Budget, BudgetSettings, Class, Deadline, Error, Outcome, Pattern, Policy,
    Reason, RetrySettings, SlowLogSettings, Timeouts, classify,
};

const MS: Duration = Duration::from_millis(1);

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls, going from one moment that somebody sleeps until to the next.
fn run<F: Future>(clock: &Clock, time: &ManualTime, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return output;
        }
        let next = time.next_deadline().expect("it sleeps");
        time.advance(next.saturating_duration_since(clock.now()));
    }
}

/// Reads have 100 ms, writes 200 ms; two failures in a row open the breaker.
fn policy() -> (PolicyBuilder, Clock, ManualTime) {
    let (clock, time) = Clock::manual();
    let builder = Policy::named("db")
        .timeouts(Timeouts::new().with_read(100 * MS).with_write(200 * MS))
        .breaker(BreakerSettings::new().with_consecutive_failures(2))
        .clock(clock.clone());
    (builder, clock, time)
}

fn retrying(attempts: u32) -> RetrySettings {
    RetrySettings::exponential(10 * MS, 10 * MS)
        .with_attempts(attempts)
        .with_jitter(Jitter::None)
}

fn hang() -> impl Future<Output = Result<(), ()>> {
    pending()
}

#[test]
fn an_answer_and_an_error_pass_through_on_one_level() {
    let (builder, ..) = policy();
    let db = builder.build().unwrap();
    let answer = pin!(db.read("a", || ready(Ok::<_, &str>(7))));
    assert!(matches!(poll(answer), Poll::Ready(Ok(7))));
    let error = pin!(db.write("a", || ready(Err::<(), _>("no"))));
    assert!(matches!(poll(error), Poll::Ready(Err(Error::Inner("no")))));
}

#[test]
fn a_class_has_its_time_and_missing_it_opens_the_breaker() {
    let (builder, clock, time) = policy();
    let db = builder.build().unwrap();
    for (call, took) in [(Class::Read, 100), (Class::Write, 200)] {
        let began = clock.now();
        let Err(Error::TimedOut(timed_out)) = run(&clock, &time, db.call(call, "a", hang)) else {
            panic!("not timed out");
        };
        assert_eq!((timed_out.class(), timed_out.after()), (call, took * MS));
        assert_eq!(clock.now(), began + took * MS);
    }
    assert_eq!(db.breaker().state(), State::Open);
    let called = Cell::new(false);
    let rejected = poll(pin!(db.read("a", || {
        called.set(true);
        ready(Ok::<_, ()>(()))
    })));
    let Poll::Ready(Err(Error::Rejected(rejection))) = rejected else {
        panic!("let in");
    };
    let why = (rejection.by(), rejection.reason(), rejection.name());
    assert_eq!(why, (Pattern::Breaker, Reason::Open, "db"));
    assert!(rejection.retry_after().is_some() && !called.get());
}

#[test]
fn a_callers_short_deadline_does_not_open_the_breaker() {
    let (builder, clock, time) = policy();
    let db = builder.retry(retrying(3)).build().unwrap();
    for _ in 0..10 {
        let deadline = Deadline::after(99 * MS, &clock);
        let result = run(&clock, &time, deadline.scope(db.read("a", hang)));
        let Err(Error::TimedOut(timed_out)) = result else {
            panic!("not cut off");
        };
        assert_eq!(timed_out.after(), 99 * MS);
    }
    assert_eq!(db.breaker().state(), State::Closed);
    // With its full time an attempt counts, deadline or not.
    let deadline = Deadline::after(9_000 * MS, &clock);
    for _ in 0..2 {
        let _ = run(
            &clock,
            &time,
            deadline.scope(db.write("a", pending::<Result<(), ()>>)),
        );
    }
    assert_eq!(db.breaker().state(), State::Open);
}

#[test]
fn an_attempt_that_begins_with_work_is_cut_off_at_the_deadline_all_the_same() {
    let (builder, clock, time) = policy();
    let db = builder.build().unwrap();
    let deadline = Deadline::after(50 * MS, &clock);
    let read = db.read("a", || {
        time.advance(30 * MS);
        hang()
    });
    let result = run(&clock, &time, deadline.scope(read));
    assert!(matches!(result, Err(Error::TimedOut(_))));
    assert_eq!(clock.now(), deadline.moment());
}

#[test]
fn a_call_whose_deadline_has_passed_is_not_made() {
    let (builder, clock, time) = policy();
    let db = builder.build().unwrap();
    let deadline = Deadline::after(MS, &clock);
    time.advance(MS);
    let result = poll(pin!(deadline.scope(
        db.read("a", || -> std::future::Ready<Result<(), ()>> {
            panic!("made")
        })
    )));
    let Poll::Ready(Err(Error::Rejected(rejection))) = result else {
        panic!("made, or waited for");
    };
    assert_eq!(rejection.by(), Pattern::Deadline);
}

#[test]
fn a_retry_that_the_breaker_refuses_ends_with_what_the_attempt_before_it_said() {
    let (builder, clock, time) = policy();
    let db = builder.retry(retrying(5)).build().unwrap();
    let attempts = Cell::new(0);
    let result = run(
        &clock,
        &time,
        db.read("a", || {
            attempts.set(attempts.get() + 1);
            ready(Err::<(), _>("down"))
        }),
    );
    assert!(matches!(result, Err(Error::Inner("down"))), "{result:?}");
    assert_eq!(db.breaker().state(), State::Open);
    assert_eq!(attempts.get(), 2, "the breaker opens behind the second");
    assert_eq!(
        clock.now().as_nanos(),
        20_000_000,
        "and nobody waits for it"
    );
}

#[test]
fn a_retry_that_is_refused_behind_a_time_out_ends_with_the_time_out() {
    let (builder, clock, time) = policy();
    let once = BreakerSettings::new().with_consecutive_failures(1);
    let db = builder.breaker(once).retry(retrying(3)).build().unwrap();
    let result = run(&clock, &time, db.read("a", hang));
    assert!(matches!(result, Err(Error::TimedOut(_))), "{result:?}");
    assert_eq!(db.breaker().state(), State::Open);
}

#[test]
fn reads_are_retried_and_writes_only_if_they_are_marked() {
    let (builder, clock, time) = policy();
    let forgiving = BreakerSettings::new().with_consecutive_failures(100);
    let builder = builder.breaker(forgiving).retry(retrying(3));
    let db = builder.build().unwrap();
    let attempts = |class: Class, marked: bool| {
        let made = Cell::new(0);
        let call = db.call(class, "a", || {
            made.set(made.get() + 1);
            ready(Err::<(), ()>(()))
        });
        let call = if marked { call.idempotent() } else { call };
        assert!(run(&clock, &time, call).is_err());
        made.get()
    };
    assert_eq!(attempts(Class::Write, false), 1);
    assert_eq!(attempts(Class::Batch, false), 1);
    assert_eq!(attempts(Class::Custom("x"), false), 1);
    assert_eq!(attempts(Class::Write, true), 3);
    let made = Cell::new(0);
    let read = db.read("a", || {
        made.set(made.get() + 1);
        ready(Err::<(), ()>(()))
    });
    assert!(run(&clock, &time, read).is_err());
    assert_eq!(made.get(), 3);
}

#[test]
fn a_read_that_took_too_long_is_retried_within_the_deadline() {
    let (builder, clock, time) = policy();
    let db = builder.retry(retrying(3)).build().unwrap();
    let made = Cell::new(0);
    let second = run(
        &clock,
        &time,
        db.read("a", || {
            made.set(made.get() + 1);
            let first = made.get() == 1;
            async move {
                if first {
                    pending::<()>().await;
                }
                Ok::<_, ()>(7)
            }
        }),
    );
    assert!(matches!(second, Ok(7)));
    let deadline = Deadline::after(105 * MS, &clock);
    let began = clock.now();
    let result = run(&clock, &time, deadline.scope(db.read("a", hang)));
    assert!(matches!(result, Err(Error::TimedOut(_))));
    assert_eq!(
        clock.now(),
        began + 100 * MS,
        "a retry at 110 ms is too late"
    );
}

#[test]
fn a_dropped_call_leaves_nothing_behind() {
    let (builder, _, time) = policy();
    let db = builder.retry(retrying(3)).build().unwrap();
    let held = std::rc::Rc::new(());
    {
        let mut call = pin!(db.read("a", || {
            let held = held.clone();
            async move {
                pending::<()>().await;
                drop(held);
                Ok::<_, ()>(())
            }
        }));
        assert!(poll(call.as_mut()).is_pending());
    }
    assert_eq!(std::rc::Rc::strong_count(&held), 1);
    assert_eq!(time.next_deadline(), None);
    assert_eq!(db.breaker().state(), State::Closed);
}

#[test]
fn a_probe_that_is_dropped_makes_room_for_the_next() {
    let (builder, clock, time) = policy();
    let db = builder.build().unwrap();
    for _ in 0..2 {
        let _ = poll(pin!(db.read("a", || ready(Err::<(), ()>(())))));
    }
    time.advance(30_000 * MS);
    {
        let mut probe = pin!(db.read("a", hang));
        assert!(poll(probe.as_mut()).is_pending());
        let second = poll(pin!(db.read("a", hang)));
        assert!(matches!(second, Poll::Ready(Err(Error::Rejected(_)))));
    }
    let third = run(&clock, &time, db.read("a", || ready(Ok::<_, ()>(()))));
    assert!(third.is_ok());
    assert_eq!(db.breaker().state(), State::Closed);
}

#[test]
fn handles_observe_force_and_reload() {
    let (builder, clock, time) = policy();
    let db = builder
        .retry(retrying(3))
        .slow_log(50 * MS)
        .build()
        .unwrap();
    db.breaker().force_open("drill");
    assert!(
        run(
            &clock,
            &time,
            db.clone().read("a", || ready(Ok::<_, ()>(())))
        )
        .is_err()
    );
    db.breaker().release();
    db.timeout()
        .reload(Timeouts::new().with_read(10 * MS))
        .unwrap();
    let began = clock.now();
    db.retry().unwrap().reload(retrying(1)).unwrap();
    assert!(run(&clock, &time, db.read("a", hang)).is_err());
    assert_eq!(clock.now(), began + 10 * MS);
    let refused = db
        .slow_log()
        .unwrap()
        .reload(SlowLogSettings::above(Duration::ZERO));
    assert_eq!(refused.unwrap_err().field(), "threshold");
}

#[test]
fn nonsense_is_refused_with_the_part_and_the_field() {
    let zero = Duration::ZERO;
    let named = || Policy::named("db");
    for (builder, field) in [
        (
            named().timeouts(Timeouts::new().with_read(zero)),
            "timeouts.read",
        ),
        (
            named().timeouts(Timeouts::new().with_custom("report", zero)),
            "timeouts.custom.report",
        ),
        (
            named().breaker(BreakerSettings::new().with_probes(0)),
            "breaker.probes",
        ),
        (named().retry(retrying(0)), "retry.attempts"),
        (named().slow_log(zero), "slow_log.threshold"),
    ] {
        assert_eq!(builder.build().unwrap_err().field(), field);
    }
    let settings = BudgetSettings::new()
        .with_percent(10)
        .with_floor_per_second(1);
    assert!(Budget::new(settings).is_ok());
    assert_eq!(
        Budget::new(settings.with_reserve(0)).unwrap_err().field(),
        "reserve"
    );
}

/// Knows 7, as it was 10 s ago.
struct Cache;

impl StaleSource<u64, &'static str> for Cache {
    fn stale<'a>(&'a self, key: &'a u64, max_age: Duration) -> Stale<'a, &'static str> {
        let age = 10_000 * MS;
        let aged = (*key == 7 && age <= max_age).then(|| Aged::new("ada", age));
        Box::pin(ready(aged))
    }
}

#[test]
fn stale_data_is_served_with_its_age_where_there_is_no_answer() {
    let (builder, clock, time) = policy();
    let classify = |result: Result<&&'static str, &&'static str>| match result {
        Err(&"not found") => Outcome::Ignored,
        Err(_) => Outcome::Failure,
        Ok(_) => Outcome::Success,
    };
    let db = builder.classify(classify).build().unwrap();
    let minute = 60_000 * MS;
    let get = |result: Result<&'static str, &'static str>, key: u64, max_age: Duration| {
        let read = db.read("user.get", || ready(result));
        run(&clock, &time, read.or_stale(&Cache, &key, max_age))
    };
    assert_eq!(get(Ok("bob"), 7, minute).unwrap(), Served::Fresh("bob"));
    let served = get(Err("down"), 7, minute).unwrap();
    assert_eq!(
        (served.age(), served.into_value()),
        (Some(10_000 * MS), "ada")
    );
    assert!(matches!(
        get(Err("not found"), 7, minute),
        Err(Error::Inner("not found"))
    ));
    assert!(matches!(
        get(Err("down"), 8, minute),
        Err(Error::Inner("down"))
    ));
    assert_eq!(db.breaker().state(), State::Open);
    let served = get(Ok("not called"), 7, minute).unwrap();
    assert_eq!(served.into_value(), "ada", "while the breaker is open");
    assert!(
        matches!(get(Ok("bob"), 7, MS), Err(Error::Rejected(_))),
        "too old"
    );
}

/// Never answers.
struct Slow;

impl StaleSource<u64, ()> for Slow {
    fn stale<'a>(&'a self, _: &'a u64, _: Duration) -> Stale<'a, ()> {
        Box::pin(pending())
    }
}

#[test]
fn a_stale_source_that_hangs_has_the_time_of_a_read_and_gives_its_place_back() {
    let (builder, clock, time) = policy();
    let db = builder.fallback(1).build().unwrap();
    let near = Deadline::after(40 * MS, &clock);
    for (deadline, has) in [(Some(near), 40), (None, 100)] {
        let began = clock.now();
        let read = db.read("a", || ready(Err::<(), _>("down")));
        let read = read.or_stale(&Slow, &7, MS);
        let result = match deadline {
            Some(deadline) => run(&clock, &time, deadline.scope(read)),
            None => run(&clock, &time, read),
        };
        assert!(matches!(result, Err(Error::Inner("down"))));
        assert_eq!(clock.now(), began + has * MS);
        assert_eq!(db.fallback().in_flight(), 0);
    }
}

#[test]
fn an_error_that_is_an_answer_is_neither_retried_nor_a_failure_whatever_is_read() {
    let (builder, clock, time) = policy();
    let by_error = classify::errors(|error: &&str| match *error {
        "not there" => Outcome::Success,
        _ => Outcome::retryable(),
    });
    let builder = builder.retry(retrying(3)).classify(by_error);
    let db = builder.build().unwrap();
    let made = Cell::new(0);
    for _ in 0..3 {
        let nobody = db.read("user.get", || {
            made.set(made.get() + 1);
            ready(Err::<String, _>("not there"))
        });
        assert!(run(&clock, &time, nobody).is_err());
    }
    let count = run(
        &clock,
        &time,
        db.read("user.count", || ready(Ok::<u64, _>(7))),
    );
    assert_eq!((made.get(), count.unwrap()), (3, 7));
    assert_eq!(db.breaker().stats().counts.in_a_row, 0);
    let lost = db.read("user.get", || ready(Err::<(), _>("lost")));
    assert!(run(&clock, &time, lost).is_err());
    assert_eq!(db.breaker().state(), State::Open);
}

#[test]
fn only_so_many_ask_for_stale_data_at_the_same_time() {
    let (builder, ..) = policy();
    let db = builder.fallback(1).build().unwrap();
    let fail = || ready(Err::<(), _>("down"));
    let mut first = pin!(db.read("a", fail).or_stale(&Slow, &7, MS));
    assert!(poll(first.as_mut()).is_pending());
    let second = poll(pin!(db.read("a", fail).or_stale(&Slow, &7, MS)));
    assert!(matches!(second, Poll::Ready(Err(Error::Inner("down")))));
}
