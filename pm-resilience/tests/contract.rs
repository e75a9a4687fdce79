//! Tower's contract, kept by every layer that lets requests in.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::num::NonZeroU32;

use http::{Request, Response};
use pm_core::Clock;
use pm_resilience::admission::{
    AdmissionLayer, BulkheadAdmissionLayer, Gate, LimitAdmissionLayer, ResponseFuture,
    ShedAdmissionLayer,
};
use pm_resilience::bulkhead::{Bulkhead, BulkheadLayer, BulkheadSettings};
use pm_resilience::health::{Health, HealthService};
use pm_resilience::limit::{Limit, LimitSettings};
use pm_resilience::shed::{Shed, ShedSettings};
use pm_resilience::shutdown::{Drain, Reached};
use pm_testing::{ServiceProbe, contract};

fn respond(_: Request<()>) -> Response<()> {
    Response::new(())
}

fn request() -> Request<()> {
    Request::new(())
}

fn limit(initial: u32) -> Limit {
    let settings = LimitSettings::new().with_initial(initial);
    Limit::new("limit", settings)
        .unwrap()
        .with_clock(Clock::manual().0)
}

fn bulkhead(queue: u32) -> Bulkhead {
    let settings = BulkheadSettings::new()
        .with_max(NonZeroU32::MIN)
        .with_queue(queue);
    Bulkhead::new("bulkhead", settings).with_clock(Clock::manual().0)
}

fn shed(initial: u32) -> Shed {
    Shed::new(limit(initial), ShedSettings::default()).unwrap()
}

/// `layer` lets in; `full` has no permit left.
fn keeps_the_contract<G: Gate>(layer: AdmissionLayer<G>, full: AdmissionLayer<G>) {
    for layer in [&layer, &full] {
        contract::passes_readiness_through(layer, respond);
    }
    contract::calls_the_readied_instance(&layer, respond, request);
    contract::refusal_releases_the_inner(&full, respond, request);
    contract::clones_are_independent(&layer, respond, request);
    contract::cancelling_leaves_nothing_behind(&layer, respond, request);
}

#[test]
fn a_limit_keeps_the_contract() {
    let full = limit(1);
    let _permit = full.try_acquire().unwrap();
    keeps_the_contract(
        LimitAdmissionLayer::new(limit(1)),
        LimitAdmissionLayer::new(full),
    );
}

#[test]
fn a_bulkhead_keeps_the_contract() {
    let full = bulkhead(0);
    let _permit = full.try_acquire().unwrap();
    let layer = BulkheadAdmissionLayer::new(bulkhead(0));
    keeps_the_contract(layer, BulkheadAdmissionLayer::new(full));
}

#[test]
fn shedding_keeps_the_contract() {
    let full = shed(1);
    let _permit = full.try_acquire(Default::default()).unwrap();
    keeps_the_contract(
        ShedAdmissionLayer::new(shed(1)),
        ShedAdmissionLayer::new(full),
    );
}

const _: () = {
    type Probe = ServiceProbe<Request<()>, Response<()>>;

    const fn shareable<T: Clone + Send + Sync + 'static>() {}
    shareable::<Bulkhead>();
    shareable::<BulkheadLayer>();
    shareable::<Drain>();
    shareable::<Health>();
    shareable::<HealthService>();
    shareable::<Limit>();
    shareable::<LimitAdmissionLayer>();
    shareable::<Shed>();
    shareable::<pm_resilience::admission::Admission<Limit, Probe>>();

    const fn sendable<T: Send + 'static>() {}
    sendable::<Reached>();
    sendable::<ResponseFuture<Bulkhead, Probe, ()>>();
    sendable::<pm_resilience::bulkhead::ResponseFuture<Probe, Request<()>>>();
    sendable::<pm_resilience::bulkhead::Permit>();
    sendable::<pm_resilience::limit::Permit>();
};
