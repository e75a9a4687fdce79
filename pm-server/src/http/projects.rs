use axum::Json;
use pm_core::Problem;

use super::{json::ProjectContext, path_id::PathId, reader::Reader};
use crate::{problem, store::Scope};

/// A project with all its items, as one picture.
pub(super) async fn context(
    Reader(tenant): Reader,
    PathId(id): PathId,
) -> Result<Json<ProjectContext>, Problem> {
    let snapshot = tenant.log().snapshot(Scope::Project(id)).await;
    let snapshot = snapshot.map_err(|error| problem::storage(&error))?;
    ProjectContext::of(snapshot)
        .map(Json)
        .ok_or_else(|| problem::not_found("project"))
}
