//! The only lines that know axum.

use axum_core::body::Body;
use axum_core::response::{IntoResponse, Response};

use crate::Problem;

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        Problem::into_response::<Body>(self)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn a_handler_may_return_a_problem() {
        let answer: Result<&str, Problem> = Err(Problem::new(StatusCode::NOT_FOUND));
        assert_eq!(answer.into_response().status(), StatusCode::NOT_FOUND);
    }
}
