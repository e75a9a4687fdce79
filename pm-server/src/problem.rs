//! The kinds of problem answers (RFC 9457) that this server gives, each with its stable type.

use std::time::Duration;

use http::StatusCode;
use pm_core::Problem;

use crate::auth::Role;

/// 400: the id in the path is not one.
pub(crate) fn bad_id() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST)
        .with_type("urn:pm:problem:bad-id", "Not an id")
        .with_detail("an id is a UUID, like 0198c6a0-5a3e-7c1a-9d51-6f4d2b8e7a90")
}

/// 401: there is no token, or a bad one.
pub(crate) fn unauthenticated(detail: String) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED)
        .with_type("urn:pm:problem:unauthenticated", "Who are you?")
        .with_detail(detail)
}

/// 403: the token's roles do not include `needed`.
pub(crate) fn role_needed(needed: Role) -> Problem {
    Problem::new(StatusCode::FORBIDDEN)
        .with_type("urn:pm:problem:forbidden", "Not allowed")
        .with_detail(format!("this needs the role {needed}"))
}

/// 404: nothing is ever there.
pub(crate) fn no_such_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND).with_detail("there is nothing at this path")
}

/// 404: there is no `what` with this id.
pub(crate) fn not_found(what: &'static str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND)
        .with_type("urn:pm:problem:not-found", "Not found")
        .with_detail(format!(
            "there is no {what} with this id; it may have been deleted"
        ))
}

/// 404: the token is for a tenant that is not here.
pub(crate) fn unknown_tenant() -> Problem {
    Problem::new(StatusCode::NOT_FOUND)
        .with_type("urn:pm:problem:unknown-tenant", "Unknown tenant")
        .with_detail("the token is for a tenant that this server does not have")
}

/// 405: the path exists, the method does not.
pub(crate) fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED).with_detail("see the header Allow for what is")
}

/// 413: the body is larger than any request needs.
pub(crate) fn too_large(limit: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE)
        .with_detail("the body is larger than this server takes")
        .with_member("limit_bytes", u64::try_from(limit).unwrap_or(u64::MAX))
}

/// 503: it may work in a while.
pub(crate) fn unavailable(detail: &'static str, retry_after: Duration) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE)
        .with_type("urn:pm:problem:unavailable", "Not now")
        .with_detail(detail)
        .with_retry_after(retry_after)
}
