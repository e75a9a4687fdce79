//! The order of the layers, as it can be seen from outside: where two of them would refuse the same
//! request, the outer one does.

mod support;

use axum::body::Body;
use http::{Request, StatusCode};
use pm_core::TrustedProxies;
use pm_ratelimit::Quota;
use pm_server::stack::StackSettings;
use support::service::{Service, quotas, settings};

const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// Two requests a minute for each client.
async fn strict() -> Service {
    Service::limited([("client", Quota::per_minute(2))]).await
}

fn request() -> http::request::Builder {
    Request::get("/nothing")
}

fn empty(request: http::request::Builder) -> Request<Body> {
    request.body(Body::empty()).expect("a request")
}

fn large(request: http::request::Builder) -> Request<Body> {
    request
        .body(Body::from(vec![0; 100_000]))
        .expect("a request")
}

/// Uses up what the client has.
async fn exhaust(service: &Service) {
    for _ in 0..2 {
        assert_eq!(
            service.send(empty(request())).await.status,
            StatusCode::NOT_FOUND
        );
    }
}

#[tokio::test]
async fn the_context_is_outside_everything_that_refuses() {
    let service = strict().await;
    let mine = || request().header("x-request-id", "mine");
    let too_large = service.send(large(mine())).await;
    let unauthenticated = service
        .send(empty(mine().header("authorization", "Bearer x")))
        .await;
    let limited = service.send(empty(mine())).await;
    for (answered, status) in [
        (too_large, StatusCode::PAYLOAD_TOO_LARGE),
        (unauthenticated, StatusCode::UNAUTHORIZED),
        (limited, StatusCode::TOO_MANY_REQUESTS),
    ] {
        assert_eq!(answered.status, status);
        assert_eq!(answered.headers["x-request-id"], "mine");
        assert_eq!(answered.body["request_id"], "mine");
    }
}

#[tokio::test]
async fn the_client_is_known_before_it_is_limited() {
    let stack = StackSettings {
        trusted_proxies: TrustedProxies::cidrs(["192.0.2.0/24"]).expect("a block"),
        ..settings()
    };
    let two = quotas([("client", Quota::per_minute(2))]);
    let service = Service::guarded(stack, two).await;
    let from = |client: &str| empty(request().header("x-forwarded-for", client));
    for _ in 0..2 {
        assert_eq!(
            service.send(from("203.0.113.1")).await.status,
            StatusCode::NOT_FOUND
        );
    }
    let refused = service.send(from("203.0.113.1")).await;
    refused.is_problem(StatusCode::TOO_MANY_REQUESTS, QUOTA_EXCEEDED);
    assert_eq!(
        service.send(from("203.0.113.2")).await.status,
        StatusCode::NOT_FOUND
    );

    // Who is no proxy of ours speaks for itself only.
    let stranger = [198, 51, 100, 1].into();
    for status in [
        StatusCode::NOT_FOUND,
        StatusCode::NOT_FOUND,
        StatusCode::TOO_MANY_REQUESTS,
    ] {
        let lie = from(&format!("203.0.113.{}", status.as_u16() % 200));
        assert_eq!(service.send_from(stranger, lie).await.status, status);
    }
}

#[tokio::test]
async fn the_limit_is_outside_the_body_limit() {
    let service = strict().await;
    exhaust(&service).await;
    let answered = service.send(large(request())).await;
    answered.is_problem(StatusCode::TOO_MANY_REQUESTS, QUOTA_EXCEEDED);
}

#[tokio::test]
async fn the_limit_is_outside_authentication_and_counts_its_refusals() {
    let service = strict().await;
    let forged = || empty(request().header("authorization", "Bearer a.b.c"));
    for left in ["\"client\";r=1;t=30", "\"client\";r=0;t=60"] {
        let answered = service.send(forged()).await;
        assert_eq!(answered.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answered.headers["ratelimit"], left);
    }
    let answered = service.send(forged()).await;
    answered.is_problem(StatusCode::TOO_MANY_REQUESTS, QUOTA_EXCEEDED);
}

#[tokio::test]
async fn the_body_limit_is_outside_authentication() {
    let service = strict().await;
    let answered = service
        .send(large(request().header("authorization", "Bearer a.b.c")))
        .await;
    answered.is_problem(StatusCode::PAYLOAD_TOO_LARGE, "about:blank");
}

#[tokio::test]
async fn authentication_is_outside_the_routes() {
    let service = strict().await;
    let answered = service
        .send(empty(request().header("authorization", "Bearer a.b.c")))
        .await;
    answered.is_problem(StatusCode::UNAUTHORIZED, "urn:pm:problem:unauthenticated");
}

#[tokio::test]
async fn health_is_beside_the_limit() {
    let service = strict().await;
    exhaust(&service).await;
    for _ in 0..3 {
        let answered = service.send(empty(Request::get("/health/live"))).await;
        assert_eq!(answered.status, StatusCode::OK);
        assert!(!answered.headers.contains_key("ratelimit"));
        assert!(answered.headers.contains_key("x-request-id"));
    }
}
