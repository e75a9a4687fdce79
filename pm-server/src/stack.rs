//! The one place where the layers are put together.
//!
//! ```text
//!  request                                                                        response
//!     │   ┌────────────────────────────────────────────────────────────────────┐     ▲
//!     └──▶│ context          an id, a span, x-request-id                       │─────┘
//!         │ ┌──────────────────────────────────────────────────────────────────┤
//!         │ │ trace          how it ended, in the log                          │
//!         │ │ ┌────────────────────────────────────────────────────────────────┤
//!         │ │ │ client address                                                 │
//!         │ │ │        ┌───────────────────┬───────────────────────────────────┤
//!         │ │ │ health │ one limit, by     │ blocked addresses      403        │
//!         │ │ │        │ address       429 │ ┌─────────────────────────────────┤
//!         │ │ │        │ ┌─────────────────┤ │ limits at the edge, by address  │
//!         │ │ │        │ │ authenticate    │ │                    429 400      │
//!         │ │ │        │ │             401 │ │ ┌───────────────────────────────┤
//!         │ │ │        │ │ ┌───────────────┤ │ │ shed, by priority  503        │
//!         │ │ │        │ │ │ /admin/limits │ │ │ ┌─────────────────────────────┤
//!         │ │ │        │ │ │ operators     │ │ │ │ body limit       413        │
//!         │ │ │        │ │ │       401 403 │ │ │ │ ┌───────────────────────────┤
//!         │ │ │        │ │ │               │ │ │ │ │ authenticate   401        │
//!         │ │ │        │ │ │               │ │ │ │ │ ┌─────────────────────────┤
//!         │ │ │        │ │ │               │ │ │ │ │ │ limits by user 429      │
//!         │ │ │        │ │ │               │ │ │ │ │ │         ┌───────────────┤
//!         │ │ │        │ │ │               │ │ │ │ │ │ /api/v1 │ sockets   429 │
//!         │ │ │        │ │ │               │ │ │ │ │ │ 404 405 │ of an address │
//!         │ │ │        │ │ │               │ │ │ │ │ │         │ ┌─────────────┤
//!         │ │ │        │ │ │               │ │ │ │ │ │         │ │ /ws: frames │
//!         │ │ │        │ │ │               │ │ │ │ │ │         │ │ 4403        │
//!         └─┴─┴────────┴─┴─┴───────────────┴─┴─┴─┴─┴─┴─────────┴─┴─────────────┘
//! ```
//!
//! Every limit tells the guard of its refusals, and the guard blocks who is refused too often.
//!
//! Administration stands beside blocks and limits: what keeps people out is changed there, by people whom
//! it may have kept out.

use std::num::NonZeroU32;

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};
use pm_core::{ClientIpLayer, ContextLayer, TrustedProxies};
use pm_ratelimit::{
    BlockLayer, By, PolicyName, Reason, Stage,
    in_flight::{Concurrency, InFlightLayer},
};
use pm_resilience::{Shed, ShedAdmissionLayer};
use tower::ServiceBuilder;

use crate::{
    app::App,
    auth::AuthenticateLayer,
    http::{self, Upgrades},
    overload, problem,
    ws::{Origin, SocketSettings},
};

/// Sockets of one client address, in headers and problems.
const CONNECTIONS: PolicyName = PolicyName::from_static("connections");

/// What the layers are told.
#[derive(Clone, Debug)]
pub struct StackSettings {
    /// Decides what is refused when there is more to do than can be done.
    pub shed: Shed,
    /// Most sockets at the same time of one client address (IPv6: of one /64).
    pub connections: NonZeroU32,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Pages that may open a socket, beside the server's own.
    pub allowed_origins: Vec<Origin>,
    /// What one socket may do.
    pub sockets: SocketSettings,
}

/// The whole service: every request goes through here, from top to bottom.
///
/// A request needs a [`pm_core::PeerAddr`] in its extensions, as [`run`](crate::run::run) gives it.
pub fn build(app: &App, settings: StackSettings) -> Router {
    let clock = &app.clock;
    let limiter = app.guard.limiter();

    let upgrades = Upgrades::new(
        app,
        settings.sockets,
        &settings.allowed_origins,
        // Not a layer, but the same rules: a frame is decided on where it is read.
        limiter.clone(),
    );
    // Innermost, so that only what becomes a socket is counted; a rate would not bound what lasts.
    let permits = app
        .guard
        .watch_sockets(one_more_socket(settings.connections));
    let sockets = http::sockets(upgrades).layer(permits);

    // What costs something. Behind the limits, whatever the path.
    let guarded = http::routes().merge(sockets).layer(
        ServiceBuilder::new()
            // First: whoever is kept out costs a look-up, whatever is asked for, and uses up nothing of
            // what a neighbour may have.
            .layer(BlockLayer::new(app.guard.blocks().clone()))
            // Before anything is looked at: verifying a token is the work that a flood would cause.
            // By address, since nobody has a name yet.
            .layer(limiter.layer(Stage::Edge))
            // Before the work: verifying tokens is most of it in a flood. Behind the limits, so that
            // one address that asks too much makes nobody else go without.
            .layer(from_fn(overload::priority))
            .layer(ShedAdmissionLayer::new(settings.shed))
            // Before somebody is known: nobody may send more, whoever it is.
            .layer(from_fn(http::body_limit))
            // A handler finds who is calling, and a bad token never gets to one.
            .layer(AuthenticateLayer::new(app.keys.clone(), clock.clone()))
            // As soon as there is a name, since one user may have many addresses, and users may
            // share one. What anonymous callers do was counted at the edge.
            .layer(limiter.layer(Stage::Identified)),
    );

    // Beside everything that can be changed there: no rule, no block and no emergency keeps out whoever
    // is there to take it back, and no load either.
    let administration = http::admin(&app.guard).layer(
        ServiceBuilder::new()
            // Before anything is looked at, as for everybody: verifying a token is the work that a flood
            // would cause. By address, blocked ones among them.
            .layer(app.guard.administration().layer(Stage::Edge))
            // The service behind it goes by who is calling, and lets in operators alone. What it reads of
            // a body it bounds itself.
            .layer(AuthenticateLayer::new(app.keys.clone(), clock.clone())),
    );

    // A limit or a block that says no to a load balancer would take the server out of service; and
    // health tells nobody anything, and is free.
    http::health(&app.health)
        .merge(administration)
        .merge(guarded)
        .with_state(app.clone())
        .layer(
            ServiceBuilder::new()
                // Outermost: every answer, and every problem that a layer makes, carries the request's id.
                .layer(ContextLayer::new(clock.clone()))
                // Outside everything that may refuse, so that refusals are seen; inside the span.
                .layer(from_fn_with_state(clock.clone(), http::trace))
                // Before blocks and limits, which go by it.
                .layer(ClientIpLayer::new(settings.trusted_proxies)),
        )
}

/// Gives each upgrade a permit, which its socket keeps.
fn one_more_socket(limit: NonZeroU32) -> InFlightLayer {
    let limit = limit.get();
    // Whoever is counted has a socket, which takes far more room.
    let connections = Concurrency::new(CONNECTIONS, By::Client, limit).with_room(usize::MAX);
    InFlightLayer::new(connections).on_refusal(move |refusal| match refusal.reason() {
        Reason::InFlight => problem::too_many_connections(refusal, limit).into_response(),
        _ => refusal.response(),
    })
}
