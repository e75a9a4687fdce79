//! The kinds of problem answers (RFC 9457) that this server gives, each with its stable type.

use std::time::Duration;

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use http::StatusCode;
use pm_core::Problem;
use pm_ratelimit::Refusal;

use crate::{auth::Role, store::StoreError, tenant::RegistryError};

/// 400: the id in the path is not one.
pub(crate) fn bad_id() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST)
        .with_type("urn:pm:problem:bad-id", "Not an id")
        .with_detail("an id is a UUID, like 0198c6a0-5a3e-7c1a-9d51-6f4d2b8e7a90")
}

/// 400: the query of the URL is not one.
pub(crate) fn bad_query() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST)
        .with_type("urn:pm:problem:bad-query", "Not a query")
        .with_detail("the part of the URL behind the question mark cannot be read")
}

/// 400, 405 or 426: this path is for upgrades to a WebSocket.
pub(crate) fn not_an_upgrade(rejection: &WebSocketUpgradeRejection) -> Problem {
    Problem::new(rejection.status())
        .with_type(
            "urn:pm:problem:not-an-upgrade",
            "A WebSocket is wanted here",
        )
        .with_detail(rejection.body_text())
}

/// 401: there is no token, or a bad one.
pub(crate) fn unauthenticated(detail: String) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED)
        .with_type("urn:pm:problem:unauthenticated", "Who are you?")
        .with_detail(detail)
}

/// 403: the token's roles do not include `needed`.
pub(crate) fn role_needed(needed: Role) -> Problem {
    forbidden(format!("this needs the role {needed}"))
}

/// 403: the caller is known and may not.
pub(crate) fn forbidden(detail: String) -> Problem {
    Problem::new(StatusCode::FORBIDDEN)
        .with_type("urn:pm:problem:forbidden", "Not allowed")
        .with_detail(detail)
}

/// 403: the request comes from a page of somebody else's.
pub(crate) fn foreign_origin() -> Problem {
    Problem::new(StatusCode::FORBIDDEN)
        .with_type("urn:pm:problem:foreign-origin", "Not from there")
        .with_detail("pages of this origin may not open a socket here")
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

/// 404 or 503: the tenant cannot be had.
pub(crate) fn no_tenant(error: &RegistryError) -> Problem {
    match error.retry_after() {
        None => unknown_tenant(),
        Some(wait) => unavailable("the tenant cannot be served at the moment", wait),
    }
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

/// 429: the client has as many sockets as one address may have.
pub(crate) fn too_many_connections(refusal: &Refusal<'_>, limit: u32) -> Problem {
    refusal.problem().with_detail(format!(
        "there are {limit} sockets from this address, as many as there may be: close one first"
    ))
}

/// 503 or 500: the storage of the tenant failed. What it said is logged, and for nobody else.
pub(crate) fn storage(error: &StoreError) -> Problem {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "a tenant cannot be read"
    );
    match error.retry_after() {
        Some(wait) => unavailable("the tenant's storage does not answer", wait),
        None => Problem::new(StatusCode::INTERNAL_SERVER_ERROR)
            .with_detail("what is stored cannot be read"),
    }
}

fn unknown_tenant() -> Problem {
    Problem::new(StatusCode::NOT_FOUND)
        .with_type("urn:pm:problem:unknown-tenant", "Unknown tenant")
        .with_detail("the token is for a tenant that this server does not have")
}

fn unavailable(detail: &'static str, retry_after: Duration) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE)
        .with_type("urn:pm:problem:unavailable", "Not now")
        .with_detail(detail)
        .with_retry_after(retry_after)
}
