//! Tower's contract, kept by every layer of this crate.

use http::{Request, Response};
use pm_core::client_ip::ClientIpService;
use pm_core::context::ContextService;
use pm_core::degrade::Switch;
use pm_core::{
    ClientIp, ClientIpLayer, Clock, Context, ContextLayer, Identity, PeerAddr, Problem, RequestId,
    ResponseBody, Tick, TraceParent, TrustedProxies,
};
use pm_testing::contract;

fn respond(_: Request<()>) -> Response<()> {
    Response::new(())
}

fn request() -> Request<()> {
    Request::new(())
}

#[test]
fn the_context_layer_keeps_the_contract() {
    let layer = ContextLayer::new(Clock::manual().0);
    contract::passes_readiness_through(&layer, respond);
    contract::calls_the_readied_instance(&layer, respond, request);
    contract::clones_are_independent(&layer, respond, request);
    contract::cancelling_leaves_nothing_behind(&layer, respond, request);
}

#[test]
fn the_client_address_layer_keeps_the_contract() {
    let layer = ClientIpLayer::new(TrustedProxies::none());
    contract::passes_readiness_through(&layer, respond);
    contract::calls_the_readied_instance(&layer, respond, request);
    contract::clones_are_independent(&layer, respond, request);
    contract::cancelling_leaves_nothing_behind(&layer, respond, request);
}

/// What goes into extensions, across tasks or into a layer.
const _: () = {
    const fn shareable<T: Clone + Send + Sync + 'static>() {}
    shareable::<ClientIp>();
    shareable::<ClientIpLayer>();
    shareable::<ClientIpService<()>>();
    shareable::<Clock>();
    shareable::<Context>();
    shareable::<ContextLayer>();
    shareable::<ContextService<()>>();
    shareable::<Identity>();
    shareable::<PeerAddr>();
    shareable::<Problem>();
    shareable::<RequestId>();
    shareable::<Switch>();
    shareable::<Tick>();
    shareable::<TraceParent>();
    shareable::<TrustedProxies>();

    #[cfg(feature = "redis")]
    shareable::<pm_core::redis::Redis>();
    #[cfg(feature = "reload")]
    shareable::<pm_core::reload::Setting<String>>();

    const fn sendable<T: Send + Sync>() {}
    sendable::<ResponseBody<()>>();
};
