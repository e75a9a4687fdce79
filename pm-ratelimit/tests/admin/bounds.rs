//! What is too large, too slow, of another kind, or not there.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::{Body, Frame};
use pm_ratelimit::admin::Admin;
use pm_ratelimit::block::{BlockList, BlockStore, Changes, Entry, Position};
use pm_ratelimit::{Error, Limiter, Quota};
use tower::ServiceExt;

use crate::fixture::{Fixture, request, send};

#[tokio::test]
async fn a_body_has_at_most_64_kib() {
    let fixture = Fixture::new();
    let padded = |bytes: usize| {
        let rule = r#"{"quota": "1/day"}"#;
        format!("{rule}{}", " ".repeat(bytes - rule.len()))
    };
    let answered = fixture.ask("PUT", "/rules/x", &padded(65_536)).await;
    assert_eq!(answered.status, StatusCode::CREATED);
    let answered = fixture.ask("PUT", "/rules/x", &padded(65_537)).await;
    assert_eq!(answered.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_body_is_json_by_its_type() {
    let fixture = Fixture::new();
    for (kind, status) in [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json-seq", 415),
    ] {
        let mut request = request("POST", "/explain", "{}");
        let kind = kind.parse().expect("a header");
        request.headers_mut().insert("content-type", kind);
        assert_eq!(send(&fixture.admin, request).await.status, status);
    }
}

/// Begins, and never goes on.
struct Stalled(Option<Bytes>);

impl Body for Stalled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None => Poll::Pending,
        }
    }
}

#[test]
fn nobody_waits_for_a_body_that_stalls() {
    let fixture = Fixture::new();
    let request = request("PUT", "/rules/x", "{}");
    let request = request.map(|_| Stalled(Some(Bytes::from_static(b"{"))));
    let mut answer = pin!(fixture.admin.clone().oneshot(request));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(answer.as_mut().poll(cx).is_pending());
    fixture.time.advance(Duration::from_millis(9_999));
    assert!(answer.as_mut().poll(cx).is_pending());
    fixture.time.advance(Duration::from_millis(1));
    let Poll::Ready(Ok(answer)) = answer.as_mut().poll(cx) else {
        panic!("it waits");
    };
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);
}

/// Breaks off.
struct Broken;

impl Body for Broken {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(Some(Err("hunter2")))
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    let fixture = Fixture::new();
    let request: Request<Broken> = request("PUT", "/rules/x", "{}").map(|_| Broken);
    let answered = send(&fixture.admin, request).await;
    assert_eq!(answered.status, StatusCode::BAD_REQUEST);
    assert!(!answered.json.to_string().contains("hunter2"));
}

#[tokio::test]
async fn what_a_deployment_does_not_have_says_what_adds_it() {
    let admin = Admin::new(Limiter::new(Quota::per_minute(5)));
    for (method, path, body, adds) in [
        (
            "PUT",
            "/rules/x",
            r#"{"quota": "1/day"}"#,
            "Admin::with_rule_book",
        ),
        ("DELETE", "/rules/x", "", "Admin::with_rule_book"),
        ("GET", "/users/ada/quotas", "", "Admin::with_rule_book"),
        ("GET", "/users/ada/quotas/x", "", "Admin::with_rule_book"),
        (
            "PUT",
            "/users/ada/quotas/x",
            r#"{"quota": "1/day"}"#,
            "Admin::with_rule_book",
        ),
        ("DELETE", "/users/ada/quotas/x", "", "Admin::with_rule_book"),
        ("GET", "/blocks", "", "Admin::with_blocks"),
        ("GET", "/blocks/192.0.2.1", "", "Admin::with_blocks"),
        ("PUT", "/blocks/192.0.2.1", "{}", "Admin::with_blocks"),
        ("DELETE", "/blocks/192.0.2.1", "", "Admin::with_blocks"),
        ("GET", "/violations/192.0.2.1", "", "Admin::with_violations"),
        ("GET", "/emergency", "", "LimiterBuilder::emergency"),
        (
            "PUT",
            "/emergency",
            r#"{"profile": "x", "lasting_seconds": 1}"#,
            "LimiterBuilder::emergency",
        ),
        ("DELETE", "/emergency", "", "LimiterBuilder::emergency"),
    ] {
        let answered = send(&admin, request(method, path, body)).await;
        assert_eq!(answered.status, StatusCode::NOT_FOUND, "{method} {path}");
        let detail = answered.json["detail"].as_str().expect("a detail");
        assert!(detail.contains(adds), "{method} {path}: {detail}");
    }
    // What there is can be seen nevertheless.
    for path in ["/rules", "/rules/default", "/metrics", "/openapi.json"] {
        let answered = send(&admin, request("GET", path, "")).await;
        assert_eq!(answered.status, StatusCode::OK, "{path}");
    }
    let metrics = send(&admin, request("GET", "/metrics", "")).await.json;
    for absent in ["decisions", "violations", "blocks", "rules", "emergency"] {
        assert!(metrics[absent].is_null(), "{absent}");
    }
}

/// With a secret in what it says.
#[derive(Debug)]
struct Failing;

#[async_trait]
impl BlockStore for Failing {
    async fn impose(self: Arc<Self>, _: Vec<Entry>, _: i64) -> Result<Vec<Entry>, Error> {
        Err(Error::unavailable("redis://hunter2@db.example"))
    }

    async fn changes(self: Arc<Self>, _: Position, _: i64) -> Result<Changes, Error> {
        Err(Error::TimedOut)
    }
}

#[tokio::test]
async fn a_store_that_fails_is_503_and_nothing_of_what_it_said_is_told() {
    let blocks = BlockList::builder().store(Arc::new(Failing)).build();
    let admin = Admin::new(Limiter::new(Quota::per_minute(5))).with_blocks(blocks);
    for (method, body) in [("PUT", "{}"), ("DELETE", "")] {
        let answered = send(&admin, request(method, "/blocks/192.0.2.1", body)).await;
        assert_eq!(answered.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answered.headers["retry-after"], "1");
        assert!(!answered.json.to_string().contains("hunter2"));
    }
}
