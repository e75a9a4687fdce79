use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use pm_core::Problem;

use crate::{domain::Id, problem};

/// The `{id}` in a path.
pub(super) struct PathId(pub(super) Id);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let id = path.ok().and_then(|Path(text)| text.parse().ok());
        id.map(PathId).ok_or_else(problem::bad_id)
    }
}
