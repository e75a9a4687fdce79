//! Tower's contract, kept whether the store answers at once or later.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Request, Response};
use pm_core::{Clock, PeerAddr, Tick};
use pm_ratelimit::future::ResponseFuture;
use pm_ratelimit::in_flight::{Concurrency, InFlightLayer, Permit};
use pm_ratelimit::{
    By, Charge, Charges, Decision, Error, Limiter, MemoryStore, PolicyName, Quota, RateLimit,
    RateLimitLayer, RateLimitStore, Rules,
};
use pm_testing::{ServiceProbe, contract, drive};
use tower::{Layer, ServiceExt};

fn respond(_: Request<()>) -> Response<()> {
    Response::new(())
}

fn known() -> Request<()> {
    let mut request = Request::new(());
    request
        .extensions_mut()
        .insert(PeerAddr(([192, 0, 2, 1], 1).into()));
    request
}

fn unknown() -> Request<()> {
    Request::new(())
}

/// Pending once before each answer.
#[derive(Debug)]
struct Later(Arc<MemoryStore>);

#[async_trait]
impl RateLimitStore for Later {
    fn try_decide(&self, _: &[Charge], _: Tick) -> Option<Decision> {
        None
    }

    async fn decide(self: Arc<Self>, charges: Charges, now: Tick) -> Result<Decision, Error> {
        let mut waited = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut waited, true) {
                return std::task::Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
        Arc::clone(&self.0).decide(charges, now).await
    }
}

fn both(quota: Quota) -> [RateLimitLayer; 2] {
    let memory = Arc::new(MemoryStore::bounded(10));
    let later = Arc::new(Later(Arc::clone(&memory)));
    [memory as Arc<dyn RateLimitStore>, later].map(|store| {
        RateLimitLayer::new(Limiter::in_store(store, quota).with_clock(Clock::manual().0))
    })
}

/// Layers whose only token is gone.
fn exhausted() -> [RateLimitLayer; 2] {
    let layers = both(Quota::per_day(1));
    for layer in &layers {
        spend(layer);
    }
    layers
}

fn spend(layer: &RateLimitLayer) {
    let (probe, _) = ServiceProbe::new(respond);
    let answer = drive(layer.layer(probe).oneshot(known()));
    assert!(answer.is_ok());
}

#[test]
fn readiness_is_the_inner_services() {
    for layer in both(Quota::per_second(100)) {
        contract::passes_readiness_through(&layer, respond);
    }
}

#[test]
fn readiness_is_passed_through_while_every_client_is_limited() {
    for layer in exhausted() {
        contract::passes_readiness_through(&layer, respond);
    }
}

#[test]
fn an_admitted_request_reaches_the_instance_that_was_ready() {
    for layer in both(Quota::per_second(100)) {
        contract::calls_the_readied_instance(&layer, respond, known);
    }
}

#[test]
fn a_refusal_releases_the_inner_service() {
    for layer in exhausted() {
        contract::refusal_releases_the_inner(&layer, respond, known);
    }
    for layer in both(Quota::per_second(100)) {
        contract::refusal_releases_the_inner(&layer, respond, unknown);
    }
}

#[test]
fn clones_do_not_share_readiness() {
    for layer in both(Quota::per_second(100)) {
        contract::clones_are_independent(&layer, respond, known);
    }
}

#[test]
fn a_cancelled_request_leaves_nothing_behind() {
    for layer in both(Quota::per_second(100)) {
        contract::cancelling_leaves_nothing_behind(&layer, respond, known);
    }
}

/// One request at a time, for everybody.
fn in_flight(limit: u32) -> InFlightLayer {
    let name = PolicyName::from_static("requests");
    InFlightLayer::new(Concurrency::new(name, By::Everyone, limit))
}

#[test]
fn a_limit_in_flight_keeps_the_contract() {
    contract::passes_readiness_through(&in_flight(100), respond);
    contract::calls_the_readied_instance(&in_flight(100), respond, known);
    contract::refusal_releases_the_inner(&in_flight(0), respond, known);
    contract::clones_are_independent(&in_flight(100), respond, known);
    contract::cancelling_leaves_nothing_behind(&in_flight(100), respond, known);
}

const _: () = {
    const fn shareable<T: Clone + Send + Sync + 'static>() {}
    shareable::<Limiter>();
    shareable::<Quota>();
    shareable::<Concurrency>();
    shareable::<Permit>();
    shareable::<Rules>();
    shareable::<RateLimit<ServiceProbe<Request<()>, Response<()>>>>();
    shareable::<RateLimitLayer>();

    const fn sendable<T: Send + 'static>() {}
    sendable::<ResponseFuture<ServiceProbe<Request<()>, Response<()>>, ()>>();
};
