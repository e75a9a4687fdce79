//! The breaker as a handle, in virtual time. Traps are pitfalls that other breakers are in.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod by_hand;
mod by_key;
mod decision;
mod properties;
mod reload;
mod traps;

use std::time::Duration;

use pm_core::{Clock, ManualTime};
use pm_resilience::Outcome;
use pm_resilience::breaker::{Breaker, BreakerSettings, Permit, State};

const SECOND: Duration = Duration::from_secs(1);
const OPEN_FOR: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(10);

fn breaker(settings: BreakerSettings) -> (Breaker, ManualTime) {
    let (clock, time) = Clock::manual();
    let breaker = Breaker::new("test", settings).expect("valid settings");
    (breaker.with_clock(clock), time)
}

fn consecutive(failures: u16) -> BreakerSettings {
    BreakerSettings::new().with_consecutive_failures(failures)
}

/// Only rates.
fn rates() -> BreakerSettings {
    consecutive(0)
}

fn call(breaker: &Breaker, outcome: Outcome) {
    breaker.try_acquire().expect("let in").settle(outcome);
}

fn succeed(breaker: &Breaker, calls: usize) {
    (0..calls).for_each(|_| call(breaker, Outcome::Success));
}

fn fail(breaker: &Breaker, calls: usize) {
    (0..calls).for_each(|_| call(breaker, Outcome::Failure));
}

fn rejects(breaker: &Breaker) -> bool {
    breaker.try_acquire().map(Permit::ignore).is_err()
}

/// A breaker that is open.
fn open(settings: BreakerSettings) -> (Breaker, ManualTime) {
    let (breaker, time) = breaker(settings);
    fail(&breaker, 5);
    assert_eq!(breaker.state(), State::Open);
    (breaker, time)
}

/// Polls a future each time that it is called.
fn poll_once<F: Future>(future: F) -> impl FnMut() -> Option<F::Output> {
    let mut future = Box::pin(future);
    move || {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
