use axum::Json;
use pm_core::Problem;

use super::{json::ItemActivity, path_id::PathId, reader::Reader};
use crate::problem;

/// How much of the activity is shown.
const ACTIVITY: usize = 100;

/// A work item with the newest of what happened to it.
pub(super) async fn item(
    Reader(tenant): Reader,
    PathId(id): PathId,
) -> Result<Json<ItemActivity>, Problem> {
    let activity = tenant.log().item(id, ACTIVITY).await;
    let activity = activity.map_err(|error| problem::storage(&error))?;
    let activity = activity.ok_or_else(|| problem::not_found("work item"))?;
    ItemActivity::of(&activity)
        .map(Json)
        .map_err(|error| problem::storage(&error))
}
