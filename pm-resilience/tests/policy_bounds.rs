//! How much a policy does at the same time: limit, shedding, bulkhead, and other answers.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::cell::Cell;
use std::future::{Future, pending, ready};
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pm_core::{Clock, ManualTime};
use pm_resilience::breaker::State;
use pm_resilience::limit::Rule;
use pm_resilience::policy::PolicyBuilder;
use pm_resilience::retry::Jitter;
use pm_resilience::{
    BreakerSettings, BulkheadSettings, Deadline, Error, LimitSettings, Pattern, Policy, Priority,
    Reason, RetrySettings, ShedSettings,
};

const MS: Duration = Duration::from_millis(1);

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn policy() -> (PolicyBuilder, Clock, ManualTime) {
    let (clock, time) = Clock::manual();
    let builder = Policy::named("db")
        .breaker(BreakerSettings::new().with_consecutive_failures(2))
        .clock(clock.clone());
    (builder, clock, time)
}

fn places(max: u32, queue: u32) -> BulkheadSettings {
    BulkheadSettings::new()
        .with_max(NonZeroU32::new(max).unwrap())
        .with_queue(queue)
        .with_wait(100 * MS)
}

fn at_most(initial: u32) -> LimitSettings {
    LimitSettings::new()
        .with_initial(initial)
        .with_rule(Rule::aimd(50 * MS))
}

fn hang() -> impl Future<Output = Result<u8, ()>> {
    pending()
}

fn seven() -> impl Future<Output = Result<u8, ()>> {
    ready(Ok(7))
}

fn why<T, E>(result: Poll<Result<T, Error<E>>>) -> Option<(Pattern, Reason)> {
    match result {
        Poll::Ready(Err(Error::Rejected(rejection))) => Some((rejection.by(), rejection.reason())),
        _ => None,
    }
}

#[test]
fn a_full_bulkhead_rejects_and_says_nothing_to_the_breaker() {
    let (builder, ..) = policy();
    let db = builder.bulkhead(places(1, 0)).build().unwrap();
    let mut first = pin!(db.read("a", hang));
    assert!(poll(first.as_mut()).is_pending());
    for _ in 0..5 {
        let second = poll(pin!(db.read("a", seven)));
        assert_eq!(why(second), Some((Pattern::Bulkhead, Reason::Full)));
    }
    assert_eq!(db.breaker().state(), State::Closed);
    assert_eq!(db.breaker().stats().counts.in_a_row, 0);
}

#[test]
fn who_waits_for_a_place_has_its_full_time_behind_it() {
    let (builder, _, time) = policy();
    let db = builder.bulkhead(places(1, 1)).build().unwrap();
    let mut first = Box::pin(db.read("a", hang));
    let mut second = Box::pin(db.read("a", hang));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    let bulkhead = db.bulkhead().unwrap();
    assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (1, 1));
    time.advance(99 * MS);
    drop(first);
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (1, 0));
    time.advance(999 * MS);
    assert!(poll(second.as_mut()).is_pending());
    time.advance(MS);
    let result = poll(second.as_mut());
    assert!(matches!(result, Poll::Ready(Err(Error::TimedOut(_)))));
    assert_eq!(bulkhead.in_flight(), 0, "though the future is still there");
}

#[test]
fn who_waited_for_a_place_asks_the_breaker_again() {
    let (builder, ..) = policy();
    let db = builder.bulkhead(places(1, 1)).build().unwrap();
    let mut first = Box::pin(db.read("a", hang));
    let mut second = Box::pin(db.read("a", seven));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    db.breaker().force_open("meanwhile");
    drop(first);
    let result = poll(second.as_mut());
    assert_eq!(why(result), Some((Pattern::Breaker, Reason::ForcedOpen)));
    assert_eq!(db.bulkhead().unwrap().in_flight(), 0);
}

#[test]
fn nobody_waits_for_a_place_beyond_its_deadline() {
    let (builder, clock, time) = policy();
    let db = builder.bulkhead(places(1, 1)).build().unwrap();
    let mut first = pin!(db.read("a", hang));
    assert!(poll(first.as_mut()).is_pending());
    let deadline = Deadline::after(30 * MS, &clock);
    let mut second = Box::pin(deadline.scope(db.read("a", seven)));
    assert!(poll(second.as_mut()).is_pending());
    time.advance(30 * MS);
    let result = poll(second.as_mut());
    assert_eq!(
        why(result),
        Some((Pattern::Bulkhead, Reason::WaitedTooLong))
    );
    let mut third = Box::pin(db.read("a", seven));
    assert!(poll(third.as_mut()).is_pending());
    drop(third);
    assert_eq!(db.bulkhead().unwrap().waiting(), 0);
}

#[test]
fn an_operation_has_one_permit_of_the_limit_however_often_it_is_tried() {
    let (builder, _, time) = policy();
    let retry = RetrySettings::exponential(10 * MS, 10 * MS).with_jitter(Jitter::None);
    let db = builder.retry(retry).limit(at_most(1)).build().unwrap();
    let made = Cell::new(0);
    let mut call = Box::pin(db.read("a", || {
        made.set(made.get() + 1);
        ready(match made.get() {
            1 => Err(()),
            _ => Ok(7),
        })
    }));
    assert!(poll(call.as_mut()).is_pending());
    let limit = db.limit().unwrap();
    assert_eq!(limit.in_flight(), 1, "while it waits to be tried again");
    let other = poll(pin!(db.read("a", seven)));
    assert_eq!(why(other), Some((Pattern::Limit, Reason::Full)));
    time.advance(10 * MS);
    assert!(matches!(poll(call.as_mut()), Poll::Ready(Ok(7))));
    assert_eq!((made.get(), limit.in_flight()), (2, 0));
}

#[test]
fn a_limit_learns_from_what_is_called() {
    let (builder, _, time) = policy();
    let db = builder
        .breaker(BreakerSettings::new().with_consecutive_failures(100))
        .limit(at_most(20))
        .build()
        .unwrap();
    let mut calls: Vec<_> = (0..20).map(|_| Box::pin(db.write("a", hang))).collect();
    assert!(
        calls
            .iter_mut()
            .all(|call| poll(call.as_mut()).is_pending())
    );
    time.advance(2_000 * MS);
    assert!(calls.iter_mut().all(|call| poll(call.as_mut()).is_ready()));
    assert_eq!(db.limit().unwrap().limit(), 18, "lost calls are too many");
}

#[test]
fn what_matters_less_is_shed_first() {
    let (builder, ..) = policy();
    let builder = builder.limit(at_most(10)).shed(ShedSettings::default());
    let db = builder.build().unwrap();
    let mut held: Vec<_> = (0..8).map(|_| Box::pin(db.read("a", hang))).collect();
    assert!(held.iter_mut().all(|call| poll(call.as_mut()).is_pending()));
    let with = |priority| poll(pin!(db.read("a", seven).priority(priority)));
    for priority in [Priority::Low, Priority::Normal] {
        assert_eq!(
            why(with(priority)),
            Some((Pattern::Shed, Reason::Overloaded))
        );
    }
    assert!(matches!(with(Priority::High), Poll::Ready(Ok(7))));
    let default = Policy::named("x").shed(ShedSettings::default()).build();
    assert_eq!(default.unwrap().limit().unwrap().limit(), 20);
}

#[test]
fn another_answer_is_given_to_so_many() {
    let (builder, ..) = policy();
    let db = builder.fallback(1).build().unwrap();
    let fail = || ready(Err::<u8, ()>(()));
    let mut first = pin!(db.write("a", fail).or_else(|_| pending()));
    assert!(poll(first.as_mut()).is_pending());
    let second = poll(pin!(db.write("a", fail).or_else(|_| ready(Ok(1)))));
    assert!(matches!(second, Poll::Ready(Err(Error::Inner(())))));
    db.fallback().reload(2);
    // The breaker is open: a rejection has another answer, too.
    let third = poll(pin!(db.read("a", fail).or_else(|_| ready(Ok(1)))));
    assert!(matches!(third, Poll::Ready(Ok(1))));
    assert_eq!(db.breaker().state(), State::Open);
    assert_eq!(db.fallback().in_flight(), 1);
}

#[test]
fn trap_h_a_panic_in_the_inner_call_frees_its_slot() {
    let (builder, ..) = policy();
    let builder = builder.limit(at_most(1)).bulkhead(places(1, 0));
    let db = builder.build().unwrap();
    for at_once in [true, false] {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let call = db.read("a", || {
                assert!(!at_once, "where it is made");
                async { panic!("where it is polled") }
            });
            let _: Poll<Result<u8, Error<()>>> = poll(Box::pin(call).as_mut());
        }));
        assert!(panicked.is_err());
        assert_eq!(db.limit().unwrap().in_flight(), 0);
        assert_eq!(db.bulkhead().unwrap().in_flight(), 0);
    }
    assert!(matches!(
        poll(pin!(db.read("a", seven))),
        Poll::Ready(Ok(7))
    ));
}

#[test]
fn nonsense_is_refused_with_the_part_and_the_field() {
    let limit = Policy::named("db").limit(at_most(1).with_min(0));
    assert_eq!(limit.build().unwrap_err().field(), "limit.min");
    let shed = Policy::named("db").shed(ShedSettings::new().with_share(Priority::Low, 2.0));
    assert_eq!(shed.build().unwrap_err().field(), "shed.low");
}
