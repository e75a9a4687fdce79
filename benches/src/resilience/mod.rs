//! Keeping away from what does not answer: what that costs while it does.

mod breaker;
mod policy;
mod timeout;

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Ready, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tower::Service;

use crate::harness::{Area, Comparison, Rounds, Work};

const CALLS: u64 = 1 << 20;

pub(crate) const AREA: Area = Area {
    name: "resilience",
    comparisons: &[
        Comparison {
            what: "breaker-consecutive",
            race: breaker::consecutive,
        },
        Comparison {
            what: "breaker-consecutive-layer",
            race: breaker::consecutive_layer,
        },
        Comparison {
            what: "breaker-rate",
            race: breaker::rate,
        },
        Comparison {
            what: "breaker-rate-layer",
            race: breaker::rate_layer,
        },
        Comparison {
            what: "breaker-slow-call",
            race: breaker::slow_call,
        },
        Comparison {
            what: "breaker-2-threads",
            race: breaker::on_two_threads,
        },
        Comparison {
            what: "breaker-2-threads-time",
            race: breaker::time_on_two_threads,
        },
        Comparison {
            what: "breaker-2-threads-calls",
            race: breaker::calls_on_two_threads,
        },
        Comparison {
            what: "breaker-2-threads-layer",
            race: breaker::layer_on_two_threads,
        },
        Comparison {
            what: "timeout-ready",
            race: timeout::service,
        },
        Comparison {
            what: "timeout-ready-future",
            race: timeout::future,
        },
        Comparison {
            what: "policy",
            race: policy::whole,
        },
        Comparison {
            what: "policy-slow-log",
            race: policy::with_slow_log,
        },
    ],
};

/// What is guarded everywhere here.
fn answer(round: u64) -> Ready<Result<u64, Infallible>> {
    ready(Ok(round))
}

fn calls<S>(mut service: S) -> impl Work
where
    S: Service<u64, Response = u64, Error: Debug>,
{
    Rounds::new(CALLS, move |round| {
        let ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(ready, Poll::Ready(Ok(()))), "it is ready");
        at_once(service.call(round))
    })
}

/// Polls it where it is made: to move a future around costs what it is large.
#[inline]
fn at_once<E: Debug>(call: impl Future<Output = Result<u64, E>>) -> u64 {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.expect("it is let through"),
        Poll::Pending => unreachable!("nothing in it has to be waited for"),
    }
}
