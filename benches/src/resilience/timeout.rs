//! A time-out around what is ready at once.

use std::time::Duration;

use pm_resilience::{Class, Timeout, Timeouts};
use tower::{Layer, service_fn};
use tower_resilience_timelimiter::TimeLimiterLayer;

use super::{CALLS, answer, at_once, calls};
use crate::harness::{InRuntime, Race, Rounds};

const LIMIT: Duration = Duration::from_secs(5);

pub(super) fn service() -> Race {
    let ours = ours().layer(Class::Read).layer(service_fn(answer));
    let tower = tower::timeout::TimeoutLayer::new(LIMIT).layer(service_fn(answer));
    let limiter = TimeLimiterLayer::builder().timeout_duration(LIMIT).build();
    let limiter = limiter.layer(service_fn(answer));
    Race::new(InRuntime::new(calls(ours)))
        .against("tower", InRuntime::new(calls(tower)))
        .at_most(0.15)
        .against(
            "tower-resilience-timelimiter",
            InRuntime::new(calls(limiter)),
        )
}

#[allow(
    clippy::disallowed_methods,
    reason = "it is the one that ours is compared with"
)]
pub(super) fn future() -> Race {
    let ours = ours();
    let run = move |round| at_once(ours.run(Class::Read, answer(round)));
    let tokio = |round| {
        at_once(async move {
            let timed = tokio::time::timeout(LIMIT, answer(round)).await;
            timed.expect("it is ready")
        })
    };
    Race::new(InRuntime::new(Rounds::new(CALLS, run)))
        .against("tokio", InRuntime::new(Rounds::new(CALLS, tokio)))
}

fn ours() -> Timeout {
    Timeout::new("bench", Timeouts::new().with_read(LIMIT)).expect("valid settings")
}
