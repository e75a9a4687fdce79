//! A second attempt, when the first takes long.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pm_core::{Clock, ManualTime};
use pm_resilience::classify::Errors;
use pm_resilience::{Budget, Class, Hedge, HedgeSettings, Retry, RetrySettings};
use pm_testing::ServiceProbe;
use tower::{Layer, Service};

const MS: Duration = Duration::from_millis(1);

fn hedge(percent: u32) -> (Hedge, Clock, ManualTime) {
    let (clock, time) = Clock::manual();
    let budget = Budget::percent(percent).with_clock(clock.clone());
    let hedge = Hedge::new("search", HedgeSettings::after(10 * MS), budget).unwrap();
    (hedge.with_clock(clock.clone()), clock, time)
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Attempts that each end after so long, like that; the test's clock is `clock`.
fn attempts<'a>(
    clock: &'a Clock,
    made: &'a Cell<usize>,
    plan: [(u64, Result<u8, u8>); 2],
) -> impl FnMut() -> Pin<Box<dyn Future<Output = Result<u8, u8>> + 'a>> {
    move || {
        let (after, result) = plan[made.replace(made.get() + 1)];
        let end = clock.now() + Duration::from_millis(after);
        Box::pin(async move {
            clock.sleep_until(end).await;
            result
        })
    }
}

/// The answer, when it came, and how many attempts there were.
fn race(plan: [(u64, Result<u8, u8>); 2]) -> (Result<u8, u8>, u128, usize) {
    let (hedge, clock, time) = hedge(100);
    let made = Cell::new(0);
    let mut run = pin!(hedge.run(Errors, attempts(&clock, &made, plan)));
    loop {
        if let Poll::Ready(result) = poll(run.as_mut()) {
            return (
                result,
                u128::from(clock.now().as_nanos() / 1_000_000),
                made.get(),
            );
        }
        time.advance(MS);
    }
}

#[test]
fn whoever_is_first_has_the_answer() {
    assert_eq!(race([(5, Ok(1)), (0, Ok(2))]), (Ok(1), 5, 1), "fast enough");
    assert_eq!(race([(90, Ok(1)), (5, Ok(2))]), (Ok(2), 15, 2));
    assert_eq!(race([(12, Ok(1)), (5, Ok(2))]), (Ok(1), 12, 2));
    assert_eq!(race([(90, Ok(1)), (0, Ok(2))]), (Ok(2), 10, 2));
}

#[test]
fn a_failure_beside_another_attempt_waits_for_it() {
    assert_eq!(race([(12, Err(1)), (5, Ok(2))]), (Ok(2), 15, 2));
    assert_eq!(race([(30, Ok(1)), (5, Err(2))]), (Ok(1), 30, 2));
    assert_eq!(race([(12, Err(1)), (5, Err(2))]), (Err(2), 15, 2));
    assert_eq!(
        race([(5, Err(1)), (0, Ok(2))]),
        (Err(1), 5, 1),
        "that is for a retry"
    );
}

#[test]
fn hedges_and_retries_share_a_budget() {
    let (hedge, clock, time) = hedge(100);
    let retry = Retry::new("search", RetrySettings::new(), hedge.budget().clone()).unwrap();
    let retry = retry.with_clock(clock.clone());
    retry.begin();
    let again = retry.decide(1, pm_resilience::Outcome::retryable(), None);
    assert!(again.is_ok(), "what was saved up is taken");

    let made = Cell::new(0);
    let mut run = pin!(hedge.run(Errors, attempts(&clock, &made, [(90, Ok(1)); 2])));
    assert!(poll(run.as_mut()).is_pending());
    assert_eq!(hedge.budget().saved(), 1, "its own share");
    assert!(hedge.budget().try_withdraw());
    time.advance(50 * MS);
    assert!(poll(run.as_mut()).is_pending());
    assert_eq!(made.get(), 1, "there is nothing left for a second one");
    time.advance(50 * MS);
    assert_eq!(poll(run.as_mut()), Poll::Ready(Ok(1)));
}

#[test]
fn a_call_that_is_retried_and_hedged_deposits_once() {
    let (clock, time) = Clock::manual();
    let clock = &clock;
    let budget = Budget::percent(20).with_clock(clock.clone());
    let settings = RetrySettings::exponential(MS, MS).with_attempts(3);
    let retry = Retry::new("search", settings, budget).unwrap();
    let retry = retry.with_clock(clock.clone());
    let hedge = Hedge::beneath(&retry, "search", HedgeSettings::after(10 * MS)).unwrap();
    let made = Cell::new(0);
    let attempt = || {
        made.set(made.get() + 1);
        let end = clock.now() + 20 * MS;
        async move {
            clock.sleep_until(end).await;
            Err::<(), _>("down")
        }
    };
    for _ in 0..100 {
        let mut run = pin!(retry.run(Errors, || hedge.run(Errors, attempt)));
        while poll(run.as_mut()).is_pending() {
            time.advance(MS);
        }
    }
    assert_eq!(made.get(), 120, "100 calls, and 20 % more");
}

#[test]
fn dropping_it_drops_both() {
    let (hedge, clock, time) = hedge(100);
    let made = Cell::new(0);
    {
        let mut run = pin!(hedge.run(Errors, attempts(&clock, &made, [(90, Ok(1)); 2])));
        assert!(poll(run.as_mut()).is_pending());
        time.advance(10 * MS);
        assert!(poll(run.as_mut()).is_pending());
        assert_eq!(made.get(), 2);
        assert!(time.next_deadline().is_some());
    }
    assert_eq!(time.next_deadline(), None);
}

#[test]
fn the_layer_hedges_reads_and_nothing_else() {
    for (class, calls) in [(Class::Read, 2), (Class::Write, 1), (Class::Custom("x"), 1)] {
        let (hedge, _, time) = hedge(100);
        let (probe, handle) = ServiceProbe::new(|n: u8| n);
        handle.hold_answers();
        let mut service = hedge.layer(class, Errors).layer(probe);
        assert!(
            service
                .poll_ready(&mut Context::from_waker(Waker::noop()))
                .is_ready()
        );
        {
            let mut answer = pin!(service.call(7));
            assert!(poll(answer.as_mut()).is_pending());
            time.advance(10 * MS);
            assert!(poll(answer.as_mut()).is_pending());
            assert_eq!(handle.calls(), calls, "{class}");
        }
        assert_eq!((handle.in_flight(), handle.reserved()), (0, 0));
    }
}

#[test]
fn a_delay_that_makes_no_sense_is_refused() {
    let (hedge, ..) = hedge(100);
    for after in [Duration::ZERO, Duration::from_secs(3_601)] {
        let refused = hedge.reload(HedgeSettings::after(after)).unwrap_err();
        assert_eq!(refused.field(), "after");
    }
    assert_eq!(hedge.settings(), HedgeSettings::after(10 * MS));
    hedge.reload(HedgeSettings::after(MS)).unwrap();
    assert_eq!(hedge.settings(), HedgeSettings::after(MS));
}
