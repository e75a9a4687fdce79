//! Administration over HTTP, behind an authentication of yours.
//!
//! Run with `cargo run -p pm-ratelimit --features admin --example admin`

use std::error::Error;
use std::io::Write;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use pm_core::{Clock, ContextLayer, Identity};
use pm_ratelimit::admin::Admin;
use pm_ratelimit::emergency::{Emergency, Profile};
use pm_ratelimit::{
    BlockLayer, BlockList, By, Limiter, Quota, Rule, RuleBook, Rules, Stage, Violations,
};
use tower::ServiceExt;

/// What tells who is calling: yours. This one believes anybody, and is for an example alone.
async fn authenticate(mut request: Request, next: Next) -> Response {
    let who = request.headers().get(AUTHORIZATION);
    let who = who.and_then(|who| who.to_str().ok()?.strip_prefix("Bearer "));
    if let Some(who) = who {
        let identity = Identity::new(who);
        let identity = if who == "root" {
            identity.with_roles(["admin"])
        } else {
            identity
        };
        request.extensions_mut().insert(identity);
    }
    next.run(request).await
}

async fn app() -> Result<Router, Box<dyn Error>> {
    let rules = Rules::new().rule(
        "user",
        Rule::always().by(By::User).quota(Quota::per_minute(300)),
    );
    let violations = Violations::builder().build();
    let blocks = BlockList::builder().build();
    let emergency = Emergency::builder()
        .profile("storm", Profile::scale(1, 5))
        .build()?;
    let limiter = Limiter::builder(rules)
        .observer(violations.clone())
        .observer(blocks.clone())
        .emergency(emergency.clone())
        .count_decisions();
    let book = RuleBook::builder(limiter).build()?;
    book.synchronize().await?;
    tokio::spawn(book.clone().run());
    tokio::spawn(blocks.clone().run());
    tokio::spawn(violations.clone().run());
    tokio::spawn(emergency.run());

    let admin = Admin::new(book.limiter())
        .with_rule_book(book.clone())
        .with_blocks(blocks.clone())
        .with_violations(violations);
    Ok(Router::new()
        .route("/hello", get(async || "hello"))
        .layer(book.limiter().layer(Stage::Identified))
        // Not behind the limits, so that no rule keeps out whoever has to change it.
        .nest_service("/admin/limits", admin)
        .layer(from_fn(authenticate))
        .layer(BlockLayer::new(blocks))
        .layer(ContextLayer::new(Clock::system())))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let app = app().await?;
    for (who, method, path, body) in [
        ("ada", "GET", "rules", ""),
        ("root", "GET", "rules", ""),
        (
            "root",
            "PUT",
            "rules/login",
            r#"{"on": "POST /login", "by": "client", "quota": "5/minute", "if_store_fails": "closed"}"#,
        ),
        (
            "root",
            "PUT",
            "users/ada/quotas/user",
            r#"{"quota": "1000/minute"}"#,
        ),
        (
            "root",
            "PUT",
            "blocks/198.51.100.0/24",
            r#"{"reason": "scraping", "expires_in_seconds": 86400}"#,
        ),
        (
            "root",
            "PUT",
            "emergency",
            r#"{"profile": "storm", "lasting_seconds": 1800, "because": "credential stuffing"}"#,
        ),
        (
            "root",
            "POST",
            "explain",
            r#"{"user": "ada", "client": "198.51.100.7"}"#,
        ),
        ("root", "DELETE", "emergency", ""),
        ("root", "GET", "metrics", ""),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(format!("/admin/limits/{path}"))
            .header(AUTHORIZATION, format!("Bearer {who}"))
            .header(CONTENT_TYPE, "application/json")
            // A server puts the address of each connection there.
            .extension(pm_core::PeerAddr(([192, 0, 2, 1], 50_000).into()))
            .body(Body::from(body))?;
        let answer = app.clone().oneshot(request).await?;
        let status = answer.status();
        let said = to_bytes(answer.into_body(), 1 << 20).await?;
        let said = String::from_utf8_lossy(&said);
        writeln!(out, "{who}: {method} {path}: {status} {said}")?;
    }
    Ok(())
}
