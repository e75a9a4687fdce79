use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::app::App;

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// The process runs. It never says no: an answer is the proof.
pub(super) async fn live() -> Response {
    Json(Health { status: "live" }).into_response()
}

/// It takes requests. No longer, once it is asked to stop, although it still answers them.
pub(super) async fn ready(State(app): State<App>) -> Response {
    if app.drain.is_ready() {
        Json(Health { status: "ready" }).into_response()
    } else {
        let health = Json(Health { status: "draining" });
        (StatusCode::SERVICE_UNAVAILABLE, health).into_response()
    }
}

/// It has started: nothing is listened to before that.
pub(super) async fn startup() -> Response {
    Json(Health { status: "started" }).into_response()
}
