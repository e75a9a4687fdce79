//! The one place where the layers are put together.
//!
//! ```text
//!  request                                                              response
//!     │   ┌──────────────────────────────────────────────────────────┐     ▲
//!     └──▶│ context          an id, a span, x-request-id             │─────┘
//!         │ ┌────────────────────────────────────────────────────────┤
//!         │ │ trace          how it ended, in the log                │
//!         │ │ ┌──────────────────────────────────────────────────────┤
//!         │ │ │ client address                                       │
//!         │ │ │        ┌─────────────────────────────────────────────┤
//!         │ │ │ health │ rate limit     429                          │
//!         │ │ │        │ ┌───────────────────────────────────────────┤
//!         │ │ │        │ │ body limit   413                          │
//!         │ │ │        │ │ ┌─────────────────────────────────────────┤
//!         │ │ │        │ │ │ authenticate  401                       │
//!         │ │ │        │ │ │ ┌───────────────────────────────────────┤
//!         │ │ │        │ │ │ │ routes: /api/v1 /ws, 404 405          │
//!         └─┴─┴────────┴─┴─┴─┴───────────────────────────────────────┘
//! ```

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};
use pm_core::{ClientIpLayer, ContextLayer, Identity, TrustedProxies};
use pm_ratelimit::{Limiter, PolicyName, Quota, RateLimitLayer, Subject, Verdict};
use tower::ServiceBuilder;

use crate::{
    app::App,
    auth::AuthenticateLayer,
    http::{self, Upgrades},
    ws::{Gate, Origin, SocketSettings},
};

/// Requests of one client address.
const EDGE: PolicyName = PolicyName::from_static("client");
/// Frames of one user.
const FRAMES: PolicyName = PolicyName::from_static("frames");

/// What the layers are told.
#[derive(Clone, Debug)]
pub struct StackSettings {
    /// Requests, upgrades included, of one client address.
    pub rate_limit: Quota,
    /// Frames on all sockets of one user.
    pub frame_limit: Quota,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
    /// Pages that may open a socket, beside the server's own.
    pub allowed_origins: Vec<Origin>,
    /// What one socket may do. Its gate is replaced by the frame limit.
    pub sockets: SocketSettings,
}

/// The whole service: every request goes through here, from top to bottom.
///
/// A request needs a [`pm_core::PeerAddr`] in its extensions, as [`run`](crate::run::run) gives it.
pub fn build(app: &App, settings: StackSettings) -> Router {
    let clock = &app.clock;

    // What costs something. Behind the limits, whatever the path.
    let guarded = http::routes(upgrades(app, &settings)).layer(
        ServiceBuilder::new()
            // Before anything is looked at: verifying a token is the work that a flood would cause.
            // By address, since nobody has a name yet.
            .layer(RateLimitLayer::new(
                Limiter::new(settings.rate_limit)
                    .with_name(EDGE)
                    .with_clock(clock.clone()),
            ))
            // Before somebody is known: nobody may send more, whoever it is.
            .layer(from_fn(http::body_limit))
            // Last: a handler finds who is calling, and a bad token never gets to one.
            .layer(AuthenticateLayer::new(app.keys.clone(), clock.clone())),
    );

    // A limit that says no to a load balancer would take the server out of service.
    http::health().merge(guarded).with_state(app.clone()).layer(
        ServiceBuilder::new()
            // Outermost: every answer, and every problem that a layer makes, carries the request's id.
            .layer(ContextLayer::new(clock.clone()))
            // Outside everything that may refuse, so that refusals are seen; inside the span.
            .layer(from_fn_with_state(clock.clone(), http::trace))
            // Before the limit, which counts by it.
            .layer(ClientIpLayer::new(settings.trusted_proxies)),
    )
}

/// `/ws`: what upgrades need beyond a request.
fn upgrades(app: &App, settings: &StackSettings) -> Upgrades {
    let limiter = Limiter::new(settings.frame_limit)
        .with_name(FRAMES)
        .with_clock(app.clock.clone());
    let gate = Gate::new(move |identity: &Identity| {
        match limiter.try_check(&Subject::identity(identity), 1)? {
            Verdict::Refused(refused) => Some(refused.retry_after()),
            Verdict::Allowed(_) | Verdict::Never(_) => None,
        }
    });
    let sockets = SocketSettings {
        gate,
        ..settings.sockets.clone()
    };
    Upgrades::new(app, sockets, &settings.allowed_origins)
}
