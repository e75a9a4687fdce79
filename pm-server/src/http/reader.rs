use std::sync::Arc;

use axum::{body::Body, extract::FromRequestParts, http::request::Parts, response::Response};

use crate::{
    app::App,
    auth::{Role, Verified, challenge},
    problem,
    tenant::Tenant,
};

/// The tenant of a caller who may read it.
pub(super) struct Reader(pub(super) Arc<Tenant>);

impl FromRequestParts<App> for Reader {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let Some(verified) = parts.extensions.get::<Verified>() else {
            return Err(challenge::<Body>(None));
        };
        if !Role::Viewer.is_held_by(&verified.identity) {
            return Err(problem::role_needed(Role::Viewer).into_response());
        }
        let name = verified
            .tenant()
            .map_err(|error| problem::forbidden(error.to_string()).into_response())?;
        app.tenant(name)
            .await
            .map(Reader)
            .map_err(|error| problem::no_tenant(&error).into_response())
    }
}
