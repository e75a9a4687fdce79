use axum::Router;
use pm_ratelimit::admin::Admin;

use crate::{app::App, guard::Guard};

/// Where the limits are administered.
const PATH: &str = "/admin/limits";

/// Rules, quotas of users, blocks and emergencies, for operators: whoever is an admin and in no tenant.
/// Bodies are bounded there, in size and in time.
pub(crate) fn admin(guard: &Guard) -> Router<App> {
    let admin = Admin::new(guard.limiter())
        .with_rule_book(guard.rules().clone())
        .with_blocks(guard.blocks().clone())
        .with_violations(guard.violations().clone());
    Router::new().nest_service(PATH, admin)
}
