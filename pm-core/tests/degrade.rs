//! The switch with a backend behind it, in virtual time.
#![cfg(feature = "tokio")]

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pm_core::degrade::{CallError, Outcome, State, Switch};
use pm_core::{Clock, ManualTime, Tick};
use pm_testing::Log;
use proptest::prelude::*;

const DEADLINE: Duration = Duration::from_millis(5);
const PAUSE: Duration = Duration::from_millis(200);

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Moves time from one deadline to the next until the future is done.
fn run<F: Future>(time: &ManualTime, clock: &Clock, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        match poll(future.as_mut()) {
            Poll::Ready(output) => return output,
            Poll::Pending => {
                let next = time
                    .next_deadline()
                    .expect("it waits for time, and nothing else");
                time.advance(next.saturating_duration_since(clock.now()));
            }
        }
    }
}

/// What the backend does with a call.
#[derive(Clone, Copy, Debug)]
enum Backend {
    Answers(Duration),
    Fails(Duration),
    Hangs,
}

fn backend() -> impl Strategy<Value = Backend> {
    let latency = || (0u64..10_000).prop_map(Duration::from_micros);
    prop_oneof![
        4 => latency().prop_map(Backend::Answers),
        1 => latency().prop_map(Backend::Fails),
        1 => Just(Backend::Hangs),
    ]
}

async fn ask(clock: &Clock, backend: Backend) -> Result<(), &'static str> {
    match backend {
        Backend::Answers(latency) => {
            clock.sleep_until(clock.now() + latency).await;
            Ok(())
        }
        Backend::Fails(latency) => {
            clock.sleep_until(clock.now() + latency).await;
            Err("connection reset")
        }
        Backend::Hangs => std::future::pending().await,
    }
}

proptest! {
    /// Whatever the backend does, no call waits longer than its deadline, one failure is followed
    /// by calls that do not wait at all, and a backend that answers is asked again.
    #[test]
    fn p001_9_redis_fallback_non_blocking(calls in proptest::collection::vec(backend(), 1..40)) {
        let (clock, time) = Clock::manual();
        let switch = Switch::up("backend");
        for backend in calls {
            let (before, was) = (clock.now(), switch.state());
            let call = switch.call(&clock, DEADLINE, ask(&clock, backend), |_| Outcome::Lost);
            let result = run(&time, &clock, call);
            let took = clock.now().saturating_duration_since(before);
            prop_assert!(took <= DEADLINE);
            prop_assert_eq!(time.next_deadline(), None, "something was left behind");
            match (was, backend) {
                (State::Down, _) => {
                    prop_assert_eq!(result, Err(CallError::Down));
                    prop_assert_eq!(took, Duration::ZERO);
                    // Otherwise everything behind the first failure would be local.
                    prop_assert!(switch.probe().expect("down").passed());
                }
                (State::Up, Backend::Answers(latency)) if latency <= DEADLINE => {
                    prop_assert_eq!(result, Ok(()));
                    prop_assert_eq!(switch.state(), State::Up);
                }
                (State::Up, Backend::Fails(latency)) if latency <= DEADLINE => {
                    prop_assert_eq!(result, Err(CallError::Failed("connection reset")));
                    prop_assert_eq!(switch.state(), State::Down);
                }
                (State::Up, _) => {
                    prop_assert_eq!(result, Err(CallError::TimedOut));
                    prop_assert_eq!(switch.state(), State::Down);
                }
            }
        }
    }
}

#[test]
fn only_the_probe_brings_it_back_every_pause_while_down() {
    let (clock, time) = Clock::manual();
    let switch = Switch::up("backend");
    let (probes, works) = (Cell::new(0), Cell::new(false));
    let mut probing = pin!(switch.keep_probing(&clock, PAUSE, || {
        probes.set(probes.get() + 1);
        std::future::ready(works.get())
    }));
    assert!(poll(probing.as_mut()).is_pending());
    assert_eq!(time.next_deadline(), None, "up: nothing is probed");

    switch.begin().expect("up").settle(Outcome::TimedOut);
    for count in 0..5 {
        assert!(poll(probing.as_mut()).is_pending());
        assert_eq!(probes.get(), count);
        assert_eq!(time.next_deadline(), Some(clock.now() + PAUSE));
        assert!(switch.begin().is_none(), "a caller is no probe");
        time.advance(PAUSE);
    }
    works.set(true);
    assert!(poll(probing.as_mut()).is_pending());
    assert_eq!(switch.state(), State::Up);
    time.advance(PAUSE * 100);
    assert!(poll(probing.as_mut()).is_pending());
    assert_eq!(probes.get(), 5);
}

#[test]
fn what_was_never_connected_is_probed_at_once() {
    let (clock, _time) = Clock::manual();
    let switch = Switch::down("backend");
    let mut probing = pin!(switch.keep_probing(&clock, PAUSE, || std::future::ready(true)));
    assert!(poll(probing.as_mut()).is_pending());
    assert_eq!(switch.state(), State::Up);
    assert_eq!(clock.now(), Tick::ZERO);
}

#[test]
fn a_call_that_is_dropped_says_nothing_about_the_backend() {
    let (clock, time) = Clock::manual();
    let switch = Switch::up("backend");
    {
        let call = ask(&clock, Backend::Hangs);
        let mut call = pin!(switch.call(&clock, DEADLINE, call, |_| Outcome::Lost));
        assert!(poll(call.as_mut()).is_pending());
    }
    assert_eq!(time.next_deadline(), None);
    assert_eq!(switch.state(), State::Up);
    assert_eq!(switch.stats().abandoned, 1);
}

#[test]
fn each_switch_is_one_line_whatever_the_number_of_calls() {
    let log = Log::capture(tracing::Level::INFO);
    let switch = Switch::down("orders");
    assert!(switch.probe().expect("down").passed());
    let tickets: Vec<_> = (0..100).map(|_| switch.begin().expect("up")).collect();
    for ticket in tickets {
        ticket.settle(Outcome::TimedOut);
    }
    assert!(switch.begin().is_none());
    assert!(switch.probe().expect("down").passed());

    let lines = log.lines();
    let expected = [
        r#" INFO pm_core::degrade::switch: reached for the first time switch="orders""#,
        r#" WARN pm_core::degrade::switch: down: the fallback answers until a probe passes switch="orders" reason="deadline missed""#,
        r#" WARN pm_core::degrade::switch: back: the primary answers again switch="orders""#,
    ];
    assert_eq!(lines, expected);
}
