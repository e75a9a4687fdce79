//! Tower's contract, kept by every layer that lets requests in, and by every one that makes calls.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::fmt::Debug;
use std::future::ready;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use pm_core::Clock;
use pm_resilience::admission::{
    AdmissionLayer, BulkheadAdmissionLayer, Gate, LimitAdmissionLayer, ResponseFuture,
    ShedAdmissionLayer,
};
use pm_resilience::breaker::KeyedBreakers;
use pm_resilience::bulkhead::{Bulkhead, BulkheadLayer, BulkheadSettings};
use pm_resilience::classify::{Errors, Http};
use pm_resilience::health::{Health, HealthService};
use pm_resilience::limit::{Limit, LimitSettings};
use pm_resilience::retry::ReplayBody;
use pm_resilience::shed::{Shed, ShedSettings};
use pm_resilience::shutdown::{Drain, Reached};
use pm_resilience::slow_log::ByExtension;
use pm_resilience::{
    Breaker, BreakerLayer, BreakerSettings, Budget, ByMethod, Class, Fallback, Hedge,
    HedgeSettings, LimitLayer, OutgoingDeadlineLayer, Policy, Retry, RetrySettings, ShedLayer,
    SlowLog, SlowLogSettings, Timeout, Timeouts,
};
use pm_testing::{ProbeError, ServiceProbe, contract};
use tower::{Layer, Service};

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

#[test]
fn layers_that_make_calls_are_always_ready_and_wait_within_the_call() {
    type Sent = Request<ReplayBody<Full<Bytes>>>;

    fn same<L>(layer: L)
    where
        L: Layer<ServiceProbe<Request<()>, Response<()>>>,
        L::Service: Service<Request<()>, Error: Debug> + Clone,
    {
        contract::waits_within_the_call(&layer, respond, request);
    }
    fn with_a_body<L>(layer: L)
    where
        L: Layer<ServiceProbe<Sent, Response<()>>>,
        L::Service: Service<Request<Full<Bytes>>, Error: Debug> + Clone,
    {
        let respond = |_: Sent| Response::new(());
        contract::waits_within_the_call(&layer, respond, || Request::new(Full::default()));
    }
    let budget = || Budget::percent(100).with_clock(Clock::manual().0);
    let (breaker, settings) = (Breaker::new, BreakerSettings::new);
    let keyed = KeyedBreakers::new("hosts", settings(), NonZeroUsize::MIN);

    same(BreakerLayer::new(breaker("x", settings()).unwrap()));
    same(BreakerLayer::keyed(keyed.unwrap(), |_: &Request<()>| 7));
    same(BulkheadLayer::new(bulkhead(0)));
    same(BulkheadLayer::new(bulkhead(1)));
    same(LimitLayer::new(limit(1)));
    same(ShedLayer::new(shed(1)));
    let deadline = OutgoingDeadlineLayer::new("x");
    same(deadline.with_clock(Clock::manual().0));
    let again = |error| ready(Err::<Response<()>, ProbeError>(error));
    same(Fallback::new("x", 1).layer(again));
    let hedge = Hedge::new("x", HedgeSettings::after(Duration::from_secs(1)), budget());
    let hedge = hedge.unwrap().with_clock(Clock::manual().0);
    same(hedge.layer(ByMethod, Errors));
    same(hedge.layer(Class::Write, Errors));
    let log = SlowLog::new("x", SlowLogSettings::default()).unwrap();
    same(log.layer(ByExtension, ByMethod));
    let timeout = Timeout::new("x", Timeouts::new()).unwrap();
    same(timeout.with_clock(Clock::manual().0).layer(ByMethod));

    let once = RetrySettings::new().with_attempts(1);
    with_a_body(Retry::new("x", once, budget()).unwrap().layer(Http::new()));
    let policy = Policy::named("x")
        .breaker(settings())
        .shed(ShedSettings::new())
        .bulkhead(BulkheadSettings::new())
        .slow_log(SlowLogSettings::default())
        .classify(Http::new())
        .clock(Clock::manual().0);
    with_a_body(policy.build().unwrap().layer());
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
