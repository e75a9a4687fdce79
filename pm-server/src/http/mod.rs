//! What is asked over HTTP: health, two things to read, administration, the way to the socket, and
//! problems for all the rest.

mod admin;
mod body_limit;
mod items;
mod json;
mod path_id;
mod projects;
mod reader;
mod socket;
mod trace;

use axum::{
    Router,
    routing::{get, get_service},
};
use pm_core::Problem;
use pm_resilience::health::{Health, Probe};

pub(crate) use self::{admin::admin, body_limit::body_limit, socket::Upgrades, trace::trace};
use crate::{app::App, problem};

/// What load balancers and orchestrators ask for.
pub(crate) fn health(health: &Health) -> Router<App> {
    let answer = |probe| get_service(health.service(probe));
    Router::new()
        .route("/health/live", answer(Probe::Live))
        .route("/health/ready", answer(Probe::Ready))
        .route("/health/startup", answer(Probe::Startup))
        .method_not_allowed_fallback(method_not_allowed)
}

/// The way to the socket.
pub(crate) fn sockets(upgrades: Upgrades) -> Router<App> {
    Router::new()
        .route("/ws", get(socket::upgrade).with_state(upgrades))
        .method_not_allowed_fallback(method_not_allowed)
}

/// What clients read, and the answer to whatever is not there.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/projects/{id}/context", get(projects::context))
        .route("/api/v1/work-items/{id}", get(items::item))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(no_such_path)
}

async fn method_not_allowed() -> Problem {
    problem::method_not_allowed()
}

async fn no_such_path() -> Problem {
    problem::no_such_path()
}
