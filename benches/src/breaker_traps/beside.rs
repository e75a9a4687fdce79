//! The scenarios of what stands beside a breaker.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use pm_core::Clock;
use pm_resilience::admission::BulkheadAdmissionLayer;
use pm_resilience::bulkhead::{Bulkhead, BulkheadSettings};
use pm_resilience::{Budget, Deadline, Outcome, Retry, RetrySettings};
use tower::limit::ConcurrencyLimitLayer;
use tower::retry::budget::{Budget as _, TpsBudget};
use tower::{Layer, Service, service_fn};
use tower_resilience_bulkhead::BulkheadLayer;
use tower_resilience_retry::RetryBudgetBuilder;

const PERMITS: NonZeroU32 = NonZeroU32::new(5).expect("more than none");

pub(super) fn idle_holds_nothing() -> bool {
    let settings = BulkheadSettings::new().with_max(PERMITS);
    let layer = BulkheadAdmissionLayer::new(Bulkhead::new("trap", settings));
    let answer = |_: Request<Body>| ready(Ok::<_, Infallible>(Response::new(Body::empty())));
    idle(
        &layer.layer(service_fn(answer)),
        Request::default,
        |answer| answer.is_ok_and(|answer| answer.status().is_success()),
    )
}

pub(super) fn idle_holds_nothing_of_tower_resilience() -> bool {
    let layer = BulkheadLayer::builder().max_concurrent_calls(PERMITS.get() as usize);
    let layer = layer.build().expect("a valid configuration");
    idle(
        &layer.layer(service_fn(number)),
        || 7,
        |answer| answer.is_ok(),
    )
}

pub(super) fn idle_holds_nothing_of_tower() -> bool {
    let layer = ConcurrencyLimitLayer::new(PERMITS.get() as usize);
    idle(
        &layer.layer(service_fn(number)),
        || 7,
        |answer| answer.is_ok(),
    )
}

fn number(number: u64) -> Ready<Result<u64, Infallible>> {
    ready(Ok(number))
}

/// A server asks whether it is ready for a request before there is one: on every connection. Whether
/// one that comes then is let in.
fn idle<S, R>(
    service: &S,
    request: fn() -> R,
    let_in: fn(Result<S::Response, S::Error>) -> bool,
) -> bool
where
    S: Service<R> + Clone,
{
    let mut cx = Context::from_waker(Waker::noop());
    let connection = |_| {
        let mut service = service.clone();
        let ready = service.poll_ready(&mut cx);
        (service, ready.is_ready())
    };
    let mut idle: Vec<(S, bool)> = (0..1_000).map(connection).collect();
    let (service, is_ready) = idle.last_mut().expect("there are some");
    if !*is_ready {
        return false;
    }
    match pin!(service.call(request())).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => let_in(answer),
        Poll::Pending => false,
    }
}

pub(super) fn budget_is_exact() -> bool {
    let budget = Budget::percent(60);
    (0..100).for_each(|_| budget.deposit());
    race(|| budget.try_withdraw()) == 60
}

/// It begins full. Then six of what a retry costs ten of, for each call that succeeds.
pub(super) fn budget_of_tower_resilience_is_exact() -> bool {
    let budget = RetryBudgetBuilder::new().aimd().max_budget(10_000);
    let budget = budget.deposit_amount(6).withdraw_amount(10).build();
    let budget = budget.expect("a valid configuration");
    while budget.try_withdraw() {}
    (0..100).for_each(|_| budget.deposit());
    race(|| budget.try_withdraw()) == 60
}

/// What a retry costs is a whole number of calls: 1 / 0.6, rounded down.
pub(super) fn budget_of_tower_is_exact() -> bool {
    let budget = TpsBudget::new(Duration::from_secs(60), 0, 0.6);
    (0..100).for_each(|_| budget.deposit());
    race(|| budget.withdraw()) == 60
}

/// How many retries 64 tasks get that want ten each.
fn race(withdraw: impl Fn() -> bool + Sync) -> usize {
    const TASKS: usize = 64;
    let (taken, barrier) = (AtomicUsize::new(0), Barrier::new(TASKS));
    std::thread::scope(|scope| {
        for _ in 0..TASKS {
            scope.spawn(|| {
                barrier.wait();
                let mine = (0..10).filter(|_| withdraw()).count();
                taken.fetch_add(mine, Ordering::Relaxed);
            });
        }
    });
    taken.into_inner()
}

pub(super) fn fails_at_once() -> bool {
    let clock = Clock::system();
    let budget = Budget::percent(100);
    budget.deposit();
    let retry = Retry::new("trap", RetrySettings::new(), budget).expect("valid settings");
    let classify = |_: Result<&(), &()>| Outcome::Retryable {
        after: Some(Duration::from_secs(10)),
    };
    let deadline = Deadline::after(Duration::from_secs(5), &clock);
    let call = deadline.scope(retry.run(classify, || ready(Err::<(), ()>(()))));
    pin!(call).poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(Err(()))
}
