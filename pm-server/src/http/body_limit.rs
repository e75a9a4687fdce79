use axum::{
    body::{Body, HttpBody},
    extract::Request,
    middleware::Next,
    response::Response,
};
use http_body_util::Limited;

use crate::problem;

/// Most bytes in the body of a request. None needs one yet.
const LIMIT: usize = 64 * 1024;

/// Refuses a body that says that it is too large, and cuts off one that only turns out to be.
pub(crate) async fn body_limit(request: Request, next: Next) -> Response {
    let announced = request.body().size_hint().lower();
    if announced > LIMIT as u64 {
        return problem::too_large(LIMIT).into_response();
    }
    next.run(request.map(|body| Body::new(Limited::new(body, LIMIT))))
        .await
}
