use bytes::Bytes;
use http::{HeaderValue, Response, header::WWW_AUTHENTICATE};

use super::AuthError;
use crate::problem;

/// The answer 401: bring a token, or a better one (RFC 6750 §3).
#[must_use]
pub fn challenge<B: From<Bytes>>(refused: Option<AuthError>) -> Response<B> {
    let (problem, challenge) = match refused {
        None => (
            problem::unauthenticated(
                "this needs a token: `Authorization: Bearer TOKEN`".to_owned(),
            ),
            HeaderValue::from_static("Bearer"),
        ),
        Some(error) => (
            problem::unauthenticated(error.to_string()),
            HeaderValue::from_static(r#"Bearer error="invalid_token""#),
        ),
    };
    let mut response = problem.into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}
