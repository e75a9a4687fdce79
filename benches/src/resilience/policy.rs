//! A whole policy around what is ready at once: deadline, retries with a budget, breaker, time-out of
//! the attempt.
//!
//! Ours is a handle around a future, on `Clock::counter`. The others are layers in the same order around
//! a service; tower has no breaker.

use std::future::Ready;
use std::sync::Arc;
use std::time::Duration;

use pm_core::Clock;
use pm_resilience::policy::PolicyBuilder;
use pm_resilience::{BreakerSettings, Deadline, Policy, RetrySettings, Timeouts};
use tower::retry::budget::{Budget, TpsBudget};
use tower::{BoxError, ServiceBuilder};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;
use tower_resilience_retry::{RetryBudgetBuilder, RetryLayer};
use tower_resilience_timelimiter::TimeLimiterLayer;

use super::{CALLS, answer, at_once, calls};
use crate::harness::{InRuntime, Race, Rounds, Work};

const ATTEMPT: Duration = Duration::from_secs(5);
const IN_ALL: Duration = Duration::from_secs(3_600);

pub(super) fn whole() -> Race {
    race(builder())
}

pub(super) fn with_slow_log() -> Race {
    race(builder().slow_log(Duration::from_millis(100)))
}

fn race(builder: PolicyBuilder) -> Race {
    Race::new(InRuntime::new(ours(builder)))
        .ours_at_most(150.0)
        .against("tower-resilience-retry", InRuntime::new(tower_resilience()))
        .against("tower", InRuntime::new(tower()))
}

fn builder() -> PolicyBuilder {
    Policy::named("bench")
        .timeouts(Timeouts::new().with_read(ATTEMPT))
        .breaker(BreakerSettings::new())
        .retry(RetrySettings::new())
        .clock(Clock::counter())
}

fn ours(builder: PolicyBuilder) -> impl Work {
    let policy = builder.build().expect("valid settings");
    let deadline = Deadline::after(IN_ALL, &Clock::counter());
    Rounds::new(CALLS, move |round| {
        deadline.in_scope(|| at_once(policy.read("bench", || answer(round))))
    })
}

fn tower_resilience() -> impl Work {
    let time = |limit| TimeLimiterLayer::builder().timeout_duration(limit).build();
    let budget = RetryBudgetBuilder::new().token_bucket().build();
    let retry = RetryLayer::builder()
        .max_attempts(3)
        .exponential_backoff(Duration::from_millis(50))
        .budget(budget.expect("a valid configuration"));
    let breaker = CircuitBreakerLayer::builder().consecutive_failures(5);
    calls(
        ServiceBuilder::new()
            .layer(time(IN_ALL))
            .layer(retry.build())
            .layer(breaker.build().expect("a valid configuration"))
            .layer(time(ATTEMPT))
            .service_fn(answer),
    )
}

fn tower() -> impl Work {
    let budget = TpsBudget::new(Duration::from_secs(10), 10, 0.2);
    calls(
        ServiceBuilder::new()
            .timeout(IN_ALL)
            .retry(Retries(Arc::new(budget)))
            .timeout(ATTEMPT)
            .service_fn(answer),
    )
}

/// What everybody who uses tower's retries writes.
#[derive(Clone)]
struct Retries(Arc<TpsBudget>);

impl tower::retry::Policy<u64, u64, BoxError> for Retries {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut u64, result: &mut Result<u64, BoxError>) -> Option<Ready<()>> {
        match result {
            Ok(_) => {
                self.0.deposit();
                None
            }
            Err(_) => self.0.withdraw().then(|| std::future::ready(())),
        }
    }

    fn clone_request(&mut self, round: &u64) -> Option<u64> {
        Some(*round)
    }
}
