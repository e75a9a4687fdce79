//! What is retried, when, and how much of it.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::cell::Cell;
use std::future::{Future, pending, ready};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use pm_core::{Clock, ManualTime};
use pm_resilience::classify::{Errors, Guarded};
use pm_resilience::retry::{GivenUp, Jitter};
use pm_resilience::{
    Budget, Class, Deadline, Error, Outcome, Pattern, Reason, Rejection, Retry, RetrySettings,
    TimedOut,
};

const MS: Duration = Duration::from_millis(1);

/// Waits of 100, 200, 400 ms, without chance, and as much budget as anybody needs.
fn retry(attempts: u32) -> (Retry, Clock, ManualTime) {
    let settings = RetrySettings::exponential(100 * MS, 400 * MS)
        .with_attempts(attempts)
        .with_jitter(Jitter::None);
    let (clock, time) = Clock::manual();
    let budget = Budget::percent(1_000).with_clock(clock.clone());
    let retry = Retry::new("test", settings, budget).unwrap();
    (retry.with_clock(clock.clone()), clock, time)
}

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

#[test]
fn attempts_are_counted_with_the_first_and_waits_double() {
    let (retry, clock, time) = retry(4);
    let calls = Cell::new(0);
    let result = run(
        &clock,
        &time,
        retry.run(Errors, || {
            calls.set(calls.get() + 1);
            ready(Err::<(), _>(calls.get()))
        }),
    );
    assert_eq!(result, Err(4));
    assert_eq!(clock.now().as_nanos(), 700_000_000, "100 + 200 + 400 ms");
}

#[test]
fn a_success_and_a_failure_that_is_final_are_made_once() {
    let (retry, ..) = retry(4);
    let calls = Cell::new(0);
    let call = |result: Result<u8, u8>, outcome: Outcome| {
        let classify = move |_: Result<&u8, &u8>| outcome;
        let run = retry.run(classify, || {
            calls.set(calls.get() + 1);
            ready(result)
        });
        assert_eq!(poll(pin!(run)), Poll::Ready(result));
    };
    call(Ok(1), Outcome::Success);
    call(Err(2), Outcome::Failure);
    call(Err(3), Outcome::Ignored);
    assert_eq!(calls.get(), 3);
}

#[test]
fn trap_l_a_retry_after_beyond_the_deadline_fails_at_once() {
    let (retry, clock, time) = retry(4);
    let saved = || retry.budget().saved();
    let deadline = Deadline::after(5_000 * MS, &clock);
    let asked = |after| {
        let classify = move |_: Result<&(), &u8>| Outcome::Retryable { after: Some(after) };
        deadline.scope(retry.run(classify, || ready(Err::<(), u8>(7))))
    };
    let at_once = poll(pin!(asked(6_000 * MS)));
    assert_eq!(
        at_once,
        Poll::Ready(Err(7)),
        "nobody would be there any more"
    );
    assert_eq!(saved(), 10, "what is not made is not paid for");
    assert_eq!(
        poll(pin!(asked(5_000 * MS))),
        Poll::Ready(Err(7)),
        "at the deadline is too late"
    );
    let mut waits = pin!(asked(4_999 * MS));
    assert!(poll(waits.as_mut()).is_pending());
    let wakes = time.next_deadline().unwrap();
    assert!(!deadline.has_passed(wakes));
}

#[test]
fn nobody_sleeps_past_its_deadline() {
    for allowed in [0, 99, 100, 101, 299, 301, 699, 701, 9_999] {
        let (retry, clock, time) = retry(10);
        let deadline = Deadline::after(allowed * MS, &clock);
        let run_out = retry.run(Errors, || ready(Err::<(), ()>(())));
        assert!(run(&clock, &time, deadline.scope(run_out)).is_err());
        let slept = clock.now();
        assert!(
            slept.as_nanos() == 0 || !deadline.has_passed(slept),
            "{allowed} ms"
        );
    }
}

#[test]
fn what_asks_for_more_than_the_patience_there_is_is_not_waited_for() {
    let (retry, clock, _) = retry(4);
    let asked = |after| Outcome::Retryable { after: Some(after) };
    retry.begin();
    let hour = retry.decide(1, asked(3_600_000 * MS), None);
    assert_eq!(hour, Err(GivenUp::Patience));
    let all = retry.decide(1, asked(Duration::MAX), None);
    assert_eq!(all, Err(GivenUp::Patience));
    let half = retry.decide(1, asked(30_000 * MS), None);
    assert_eq!(half, Ok(clock.now() + 30_000 * MS));
}

#[test]
fn a_retry_is_withdrawn_before_its_wait() {
    let (retry, ..) = retry(4);
    let mut waits = pin!(retry.run(Errors, || ready(Err::<(), ()>(()))));
    assert!(poll(waits.as_mut()).is_pending());
    assert_eq!(retry.budget().saved(), 10 - 1);
}

#[test]
fn a_rejection_is_never_retried() {
    let (retry, ..) = retry(4);
    let rejection = Rejection::new("db".into(), Pattern::Breaker, Reason::Open)
        .with_retry_after(Duration::ZERO);
    let rejected = || ready(Err::<(), Error<()>>(rejection.clone().into()));
    let once = poll(pin!(retry.run(Guarded(Errors), rejected)));
    assert!(matches!(once, Poll::Ready(Err(Error::Rejected(_)))));
    let timed_out = || ready(Err::<(), Error<()>>(TimedOut::new(Class::Read, MS).into()));
    assert!(poll(pin!(retry.run(Guarded(Errors), timed_out))).is_pending());
}

#[test]
fn dropping_it_drops_the_attempt_or_the_wait() {
    let (retry, _, time) = retry(4);
    let held = std::rc::Rc::new(());
    {
        let mut run = pin!(retry.run(Errors, || {
            let held = held.clone();
            async move {
                pending::<()>().await;
                drop(held);
                Ok::<(), ()>(())
            }
        }));
        assert!(poll(run.as_mut()).is_pending());
        assert_eq!(std::rc::Rc::strong_count(&held), 2);
    }
    assert_eq!(std::rc::Rc::strong_count(&held), 1);
    {
        let mut run = pin!(retry.run(Errors, || ready(Err::<(), ()>(()))));
        assert!(poll(run.as_mut()).is_pending());
        assert!(time.next_deadline().is_some());
    }
    assert_eq!(time.next_deadline(), None);
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let settings = RetrySettings::new;
    for (settings, field) in [
        (settings().with_attempts(0), "attempts"),
        (settings().with_attempts(11), "attempts"),
        (RetrySettings::exponential(MS, 301_000 * MS), "longest"),
        (RetrySettings::exponential(Duration::ZERO, MS), "base"),
        (RetrySettings::exponential(2 * MS, MS), "base"),
        (settings().with_patience(3_601_000 * MS), "patience"),
    ] {
        let (retry, ..) = retry(2);
        let refused = retry.reload(settings).unwrap_err();
        assert_eq!(refused.field(), field);
        assert_eq!(retry.settings().attempts, 2, "nothing has changed");
        let refused = Retry::new("test", settings, Budget::percent(20)).unwrap_err();
        assert_eq!(refused.field(), field);
    }
}

/// Under total outage, 64 tasks, what is made in all is calls and the budget's share of them.
#[test]
fn amplification_under_total_outage_is_the_budget() {
    for percent in [10, 20, 60, 150] {
        let (clock, time) = Clock::manual();
        let budget = Budget::percent(percent).with_clock(clock.clone());
        let settings = RetrySettings::exponential(MS, 10 * MS).with_attempts(10);
        let retry = Retry::new("down", settings, budget).unwrap();
        let retry = retry.with_clock(clock);
        let made = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let mut run = pin!(retry.run(Errors, || {
                            made.fetch_add(1, Ordering::Relaxed);
                            ready(Err::<(), ()>(()))
                        }));
                        while poll(run.as_mut()).is_pending() {
                            time.advance(MS);
                        }
                    }
                });
            }
        });
        let calls = 64 * 200;
        let extra = (made.into_inner() - calls) as f64 * 100.0 / calls as f64;
        assert!(
            (extra - f64::from(percent)).abs() <= 1.0,
            "{extra:.2} % instead of {percent} %"
        );
    }
}
