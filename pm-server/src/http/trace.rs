use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use pm_core::Clock;

/// Logs how each request ended, inside the span that names it. The route and not the path: a path
/// and a query are whatever a client writes.
pub(crate) async fn trace(State(clock): State<Clock>, request: Request, next: Next) -> Response {
    let begun = clock.now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;

    let route = route.as_ref().map_or("-", MatchedPath::as_str);
    let status = response.status().as_u16();
    let latency = clock.now().saturating_duration_since(begun);
    if response.status().is_server_error() {
        tracing::warn!(%method, route, status, ?latency, "answered");
    } else {
        tracing::debug!(%method, route, status, ?latency, "answered");
    }
    response
}
