//! Keeping away from what does not answer: what that costs while it does.

mod breaker;
mod policy;
mod timeout;

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Ready, poll_fn, ready};

use futures_util::FutureExt;
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
        let ready = poll_fn(|cx| service.poll_ready(cx)).now_or_never();
        ready.expect("it is ready").expect("it is well");
        at_once(service.call(round))
    })
}

fn at_once<E: Debug>(call: impl Future<Output = Result<u64, E>>) -> u64 {
    let answer = call
        .now_or_never()
        .expect("nothing in it has to be waited for");
    answer.expect("it is let through")
}
