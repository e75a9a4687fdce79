//! Administration, through the whole stack: who may, what is answered, and what comes of it.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt;
use http::{Request, StatusCode};
use pm_ratelimit::Quota;
use pm_resilience::{Limit, LimitSettings, Priority, Shed, ShedSettings};
use pm_server::{
    auth::Role,
    r#gen::{Code, server_frame::Body as Said},
    stack::StackSettings,
};
use serde_json::{Value, json};
use support::{
    peer::create_project,
    running::{Running, Socket, next, say, upgrade},
    service::{Answered, Service, id, settings},
};
use tokio_tungstenite::tungstenite::Message;

const AT: &str = "/admin/limits";

/// Every kind of path, with the methods that it has.
const ROUTES: [(&str, &[&str]); 12] = [
    ("/rules", &["GET"]),
    ("/rules/user", &["GET", "PUT", "DELETE"]),
    ("/users/ada/quotas", &["GET"]),
    ("/users/ada/quotas/user", &["GET", "PUT", "DELETE"]),
    ("/blocks", &["GET"]),
    ("/blocks/198.51.100.0/24", &["GET", "PUT", "DELETE"]),
    ("/blocks/198.51.100.7", &["GET", "PUT", "DELETE"]),
    ("/violations/192.0.2.1", &["GET"]),
    ("/emergency", &["GET", "PUT", "DELETE"]),
    ("/metrics", &["GET"]),
    ("/explain", &["POST"]),
    ("/openapi.json", &["GET"]),
];

fn request(bearer: Option<&str>, method: &str, path: &str, body: &str) -> http::request::Builder {
    let mut request = Request::builder().method(method).uri(format!("{AT}{path}"));
    if let Some(bearer) = bearer {
        request = request.header("authorization", bearer);
    }
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    request
}

/// Asked by an operator, or by whoever has the token.
async fn ask_as(
    service: &Service,
    bearer: Option<&str>,
    method: &str,
    path: &str,
    body: &str,
) -> Answered {
    let request = request(bearer, method, path, body);
    service
        .send(request.body(Body::from(body.to_owned())).unwrap())
        .await
}

async fn ask(service: &Service, method: &str, path: &str, body: &str) -> Answered {
    ask_as(
        service,
        Some(&service.operator("grace")),
        method,
        path,
        body,
    )
    .await
}

/// What has to go well.
async fn done(service: &Service, method: &str, path: &str, body: &str) -> Value {
    let answered = ask(service, method, path, body).await;
    assert!(
        answered.status.is_success(),
        "{method} {path}: {answered:?}"
    );
    answered.body
}

fn has(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, wanted)| found.get(name).is_some_and(|found| has(found, wanted))),
        (Value::Array(found), Value::Array(wanted)) => wanted
            .iter()
            .all(|wanted| found.iter().any(|found| has(found, wanted))),
        _ => found == wanted,
    }
}

// ---- who may ----

#[tokio::test]
async fn nobody_but_operators_gets_an_answer_from_any_route() {
    let service = Service::new().await;
    let expired = service.operator("grace");
    service.time.advance(Duration::from_secs(3600));
    let roles = [Role::Viewer, Role::Editor, Role::Admin];
    let members = roles.map(|role| service.bearer("acme", role));
    let forged = format!("{}x", service.operator("grace"));
    let nothing: [(&str, &[&str]); 3] = [("", &["GET"]), ("/", &["GET"]), ("/nothing", &["GET"])];
    for (path, methods) in ROUTES.into_iter().chain(nothing) {
        for method in methods.iter().chain(&["PATCH"]) {
            for bearer in [None, Some("Bearer a.b.c"), Some(&*forged), Some(&*expired)] {
                let answered = ask_as(&service, bearer, method, path, "{}").await;
                assert_eq!(answered.status, StatusCode::UNAUTHORIZED, "{method} {path}");
                assert!(answered.headers.contains_key("www-authenticate"));
                assert_eq!(
                    answered.body["request_id"],
                    answered.headers["x-request-id"].to_str().unwrap()
                );
            }
            for member in &members {
                let answered = ask_as(&service, Some(member), method, path, "{}").await;
                answered.is_problem(StatusCode::FORBIDDEN, "about:blank");
            }
        }
        // A burst of a hundred requests comes from here, and no more.
        service.time.advance(Duration::from_secs(60));
    }
    let operator = service.operator("grace");
    let list = done(&service, "GET", "/blocks", "").await;
    assert_eq!(list["items"], json!([]), "nothing has come of it");
    for (path, methods) in ROUTES {
        let answered = ask_as(&service, Some(&operator), methods[0], path, "").await;
        assert!(
            ![401, 403, 405].contains(&answered.status.as_u16()),
            "{path}: {answered:?}"
        );
    }
}

// ---- what is answered ----

/// What is asked, with which body, and the status and a part of what is answered.
type Row = (&'static str, &'static str, &'static str, u16, Value);

/// In this order, each on what those before it have left.
fn rows() -> Vec<Row> {
    let (reads, other) = ("/rules/reads", "/users/ada/quotas/user?tenant=acme");
    let net = "/blocks/198.51.100.0/24";
    let about_reads = r#"{"on": "GET /api/{*path}", "by": "client", "quota": "600/minute"}"#;
    let none = || json!({});
    vec![
        (
            "GET",
            "/rules",
            "",
            200,
            json!({"items": [{"name": "client", "origin": "configured"}, {"name": "frames"}]}),
        ),
        ("GET", "/rules?limit=1", "", 200, json!({"next": "client"})),
        ("GET", "/rules?limit=none", "", 400, none()),
        (
            "GET",
            "/rules/user",
            "",
            200,
            json!({"in_force": true, "rule": {"by": "user"}}),
        ),
        ("GET", "/rules/usr", "", 404, none()),
        ("DELETE", "/rules/user", "", 404, none()),
        (
            "PUT",
            reads,
            about_reads,
            201,
            json!({"origin": "stored", "version": 1, "in_force": true}),
        ),
        ("PUT", reads, about_reads, 200, json!({"version": 1})),
        ("PUT", reads, "{", 400, none()),
        ("PUT", reads, "", 415, none()),
        (
            "PUT",
            reads,
            r#"{"on": "GET /api", "quota": "many"}"#,
            422,
            none(),
        ),
        ("PUT", reads, r#"{"quote": "1/day"}"#, 422, none()),
        (
            "PUT",
            reads,
            r#"{"on": "GET api", "quota": "1/day"}"#,
            422,
            json!({"rule": "reads", "field": "on"}),
        ),
        ("DELETE", reads, "", 204, none()),
        ("DELETE", reads, "", 404, none()),
        ("POST", "/rules", "{}", 405, none()),
        ("GET", other, "", 404, none()),
        (
            "PUT",
            other,
            r#"{"quota": "9/minute"}"#,
            200,
            json!({"rule": "user", "quota": "9/minute"}),
        ),
        (
            "GET",
            "/users/ada/quotas?tenant=acme",
            "",
            200,
            json!({"items": [{"rule": "user", "quota": "9/minute"}]}),
        ),
        ("GET", "/users/ada/quotas", "", 200, json!({"items": []})),
        ("PUT", other, r#"{"quota": "0/minute"}"#, 422, none()),
        (
            "PUT",
            "/users/ada/quotas/client?tenant=acme",
            r#"{"quota": "9/minute"}"#,
            422,
            json!({"field": "by"}),
        ),
        (
            "PUT",
            "/users/ada/quotas/nothing",
            r#"{"quota": "9/minute"}"#,
            422,
            json!({"field": "name"}),
        ),
        ("DELETE", other, "", 204, none()),
        ("DELETE", other, "", 404, none()),
        ("GET", net, "", 404, none()),
        (
            "PUT",
            net,
            r#"{"reason": "scraping", "expires_in_seconds": 60}"#,
            200,
            json!({"prefix": "198.51.100.0/24", "actor": "grace", "cause": "manual"}),
        ),
        (
            "GET",
            "/blocks",
            "",
            200,
            json!({"items": [{"prefix": "198.51.100.0/24", "hits": 0}]}),
        ),
        ("PUT", net, r#"{"expires_in_seconds": 0}"#, 422, none()),
        ("PUT", "/blocks/198.51.100.1/24", "{}", 400, none()),
        ("PUT", "/blocks/everybody", "{}", 400, none()),
        ("DELETE", net, "", 204, none()),
        ("DELETE", net, "", 404, none()),
        (
            "GET",
            "/violations/192.0.2.1",
            "",
            200,
            json!({"items": []}),
        ),
        ("GET", "/violations/me", "", 400, none()),
        (
            "GET",
            "/emergency",
            "",
            200,
            json!({"in_force": null, "profiles": ["reduced", "minimal"]}),
        ),
        ("DELETE", "/emergency", "", 404, none()),
        (
            "PUT",
            "/emergency",
            r#"{"profile": "storm", "lasting_seconds": 60}"#,
            422,
            none(),
        ),
        (
            "PUT",
            "/emergency",
            r#"{"profile": "reduced"}"#,
            422,
            none(),
        ),
        (
            "PUT",
            "/emergency",
            r#"{"profile": "reduced", "lasting_seconds": 60, "because": "bots"}"#,
            200,
            json!({"by": "grace"}),
        ),
        (
            "GET",
            "/metrics",
            "",
            200,
            json!({"emergency": {"profile": "reduced"}, "store": {"state": "up"}}),
        ),
        ("DELETE", "/emergency", "", 204, none()),
        (
            "POST",
            "/explain",
            r#"{"user": "ada", "tenant": "acme", "path": "/api/v1/work-items/1"}"#,
            200,
            json!({"rules": [{"rule": "user", "applies": true}, {"rule": "context", "applies": false}]}),
        ),
        ("POST", "/explain", r#"{"path": "/../x"}"#, 422, none()),
        ("POST", "/explain", r#"{"who": "ada"}"#, 422, none()),
        ("GET", "/explain", "", 405, none()),
        ("GET", "/openapi.json", "", 200, json!({"openapi": "3.1.0"})),
        ("GET", "/openapi.json?x=1", "", 400, none()),
        ("GET", "", "", 404, none()),
        ("GET", "/", "", 404, none()),
        ("GET", "/rules/a/b", "", 404, none()),
    ]
}

#[tokio::test]
async fn every_route_answers_what_is_good_and_what_is_not() {
    let service = Service::new().await;
    for (method, path, body, status, wanted) in rows() {
        let answered = ask(&service, method, path, body).await;
        let asked = format!("{method} {path} {body}");
        assert_eq!(answered.status, status, "{asked}: {answered:?}");
        let part_of_it = answered.body.is_null() && status == 204 || has(&answered.body, &wanted);
        assert!(part_of_it, "{asked}: {answered:?}");
        if status >= 400 {
            answered.is_problem(answered.status, "about:blank");
        }
    }
}

#[tokio::test]
async fn a_condition_that_does_not_hold_changes_nothing_and_a_body_has_a_bound() {
    let service = Service::new().await;
    let operator = service.operator("grace");
    let put = async |body: Vec<u8>, name: &str, value: &str| {
        let request = request(Some(&operator), "PUT", "/rules/reads", "{}").header(name, value);
        service.send(request.body(Body::from(body)).unwrap()).await
    };
    let day = |quota: u32| format!(r#"{{"by": "user", "quota": "{quota}/day"}}"#).into_bytes();
    let first = put(day(1), "if-none-match", "*").await;
    assert_eq!(
        (first.status, &first.headers["etag"]),
        (StatusCode::CREATED, &"\"1\"".parse().unwrap())
    );
    for (name, value, status) in [
        ("if-none-match", "*", 412),
        ("if-match", "\"7\"", 412),
        ("if-match", "1", 400),
        ("if-match", "\"1\"", 200),
        ("if-match", "\"1\"", 412),
    ] {
        assert_eq!(
            put(day(2), name, value).await.status,
            status,
            "{name}: {value}"
        );
        // To say the same again is no conflict.
        if status == 200 {
            put(day(3), name, "\"2\"").await;
        }
    }
    let large = put(vec![b' '; 100_000], "x-nothing", "").await;
    large.is_problem(StatusCode::PAYLOAD_TOO_LARGE, "about:blank");
    // One that does not say how long it is.
    let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1000]));
    let request = request(Some(&operator), "PUT", "/rules/reads", "{}");
    let endless = request.body(Body::from_stream(chunks)).unwrap();
    let answered = service.send(endless).await;
    answered.is_problem(StatusCode::PAYLOAD_TOO_LARGE, "about:blank");
    let rule = done(&service, "GET", "/rules/reads", "").await;
    assert_eq!(rule["rule"]["quota"], "3/day");
}

// ---- what comes of it ----

/// What a member of `acme` is answered who asks for an item that is not there.
async fn item(service: &Service, subject: &str) -> Answered {
    let bearer = service.bearer_of(subject, "acme", Role::Viewer);
    let path = format!("/api/v1/work-items/{}", id(1));
    service.get(&path, Some(&bearer)).await
}

#[tokio::test]
async fn a_rule_counts_at_once_and_the_configured_one_when_it_is_gone() {
    let service = Service::new().await;
    let status = async |subject| item(&service, subject).await.status;
    assert_eq!(status("ada").await, StatusCode::NOT_FOUND);
    let once = r#"{"on": "/{*path}", "by": "user", "quota": "1/day"}"#;
    done(&service, "PUT", "/rules/user", once).await;
    assert_eq!(status("bob").await, StatusCode::NOT_FOUND);
    assert_eq!(status("bob").await, StatusCode::TOO_MANY_REQUESTS);
    done(&service, "DELETE", "/rules/user", "").await;
    assert_eq!(status("carol").await, StatusCode::NOT_FOUND);
    assert_eq!(status("carol").await, StatusCode::NOT_FOUND);

    let metrics = done(&service, "GET", "/metrics", "").await;
    let counted = json!({"decisions": [{"rule": "user", "allowed": 4, "refused": 1}], "violations": {"seen": 1}});
    assert!(has(&metrics, &counted), "{metrics}");
    // Once a second otherwise.
    service.app.guard().violations().flush().await.unwrap();
    let recorded = done(&service, "GET", "/violations/192.0.2.1", "").await;
    assert_eq!(recorded["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn nothing_that_is_said_here_keeps_an_operator_out() {
    let ten = LimitSettings::new()
        .with_initial(10)
        .with_min(10)
        .with_max(10);
    let shed = Shed::new(Limit::new("http", ten).unwrap(), ShedSettings::default()).unwrap();
    let stack = StackSettings {
        shed: shed.clone(),
        ..settings()
    };
    let service = Service::with(stack).await;
    let _busy: Vec<_> = (0..10)
        .map(|_| shed.try_acquire(Priority::Critical).unwrap())
        .collect();
    for (path, body) in [
        (
            "/rules/everybody",
            r#"{"by": "everyone", "quota": "1/day"}"#,
        ),
        ("/rules/client", r#"{"by": "client", "quota": "1/day"}"#),
        (
            "/rules/administration",
            r#"{"on": "/admin/{*path}", "by": "client", "quota": "1/day"}"#,
        ),
        ("/rules/user", r#"{"by": "user", "quota": "1/day"}"#),
        (
            "/emergency",
            r#"{"profile": "minimal", "lasting_seconds": 600}"#,
        ),
        ("/blocks/0.0.0.0/0", r#"{"reason": "a slip"}"#),
    ] {
        done(&service, "PUT", path, body).await;
    }
    let answered = service.get("/nothing", None).await;
    assert_eq!(answered.status, StatusCode::FORBIDDEN);
    for path in [
        "/blocks/0.0.0.0/0",
        "/emergency",
        "/rules/everybody",
        "/rules/client",
    ] {
        done(&service, "DELETE", path, "").await;
    }
    let answered = service.get("/nothing", None).await;
    assert_eq!(
        answered.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "it is as busy as it was"
    );
}

#[tokio::test]
async fn who_asks_for_administration_too_often_is_refused_and_then_kept_out_of_the_rest() {
    let service = Service::new().await;
    let mut statuses = Vec::new();
    for _ in 0..150 {
        let answered = ask_as(&service, Some("Bearer a.b.c"), "GET", "/rules", "").await;
        statuses.push(answered.status.as_u16());
    }
    assert!(
        statuses[..100].iter().all(|status| *status == 401),
        "{statuses:?}"
    );
    assert!(
        statuses[100..].iter().all(|status| *status == 429),
        "{statuses:?}"
    );
    let answered = service.get("/nothing", None).await;
    assert_eq!(answered.status, StatusCode::FORBIDDEN);
    // Whoever is at the same address waits as told.
    service.time.advance(Duration::from_millis(200));
    let blocks = done(&service, "GET", "/blocks", "").await;
    assert!(
        has(
            &blocks,
            &json!({"items": [{"prefix": "192.0.2.1/32", "cause": "automatic"}]})
        ),
        "{blocks}"
    );
    // Administration is not behind blocks: to go on there makes none of a quarter of an hour a week.
    for _ in 0..500 {
        ask_as(&service, Some("Bearer a.b.c"), "GET", "/rules", "").await;
    }
    service.time.advance(Duration::from_millis(200));
    let blocks = done(&service, "GET", "/blocks", "").await;
    let block = &blocks["items"][0];
    let moment = |name: &str| block[name].as_i64().unwrap();
    let lasts = moment("until_micros") - moment("since_micros");
    assert_eq!(lasts, 15 * 60 * 1_000_000, "{blocks}");
}

#[tokio::test]
async fn a_users_own_quota_is_in_force_for_requests() {
    let service = Service::new().await;
    done(
        &service,
        "PUT",
        "/users/ada/quotas/user?tenant=acme",
        r#"{"quota": "2/day"}"#,
    )
    .await;
    // A namesake who is in no tenant, or in another one.
    done(
        &service,
        "PUT",
        "/users/bob/quotas/user",
        r#"{"quota": "1/day"}"#,
    )
    .await;
    for (subject, last) in [
        ("ada", StatusCode::TOO_MANY_REQUESTS),
        ("bob", StatusCode::NOT_FOUND),
    ] {
        for _ in 0..2 {
            assert_eq!(item(&service, subject).await.status, StatusCode::NOT_FOUND);
        }
        assert_eq!(item(&service, subject).await.status, last, "{subject}");
    }
    let asked = r#"{"user": "ada", "tenant": "acme", "path": "/api/v1/work-items/1"}"#;
    let explained = done(&service, "POST", "/explain", asked).await;
    let own = json!({"rules": [{"rule": "user", "own_quota": "2/day"}]});
    assert!(has(&explained, &own), "{explained}");
}

#[tokio::test]
async fn an_emergency_reduces_everything_until_it_is_left() {
    let service = Service::limited([("user", Quota::per_day(10))]).await;
    for _ in 0..2 {
        assert_eq!(item(&service, "ada").await.status, StatusCode::NOT_FOUND);
    }
    let declare = r#"{"profile": "reduced", "lasting_seconds": 60, "because": "bots"}"#;
    done(&service, "PUT", "/emergency", declare).await;
    let answered = item(&service, "ada").await;
    answered.is_problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
    );
    assert_eq!(
        service.app.guard().violations().stats().seen,
        0,
        "it is nobody's fault"
    );
    done(&service, "DELETE", "/emergency", "").await;
    assert_eq!(item(&service, "ada").await.status, StatusCode::NOT_FOUND);
    done(&service, "PUT", "/emergency", declare).await;
    assert_eq!(
        item(&service, "ada").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    service.time.advance(Duration::from_secs(60));
    assert_eq!(
        item(&service, "ada").await.status,
        StatusCode::NOT_FOUND,
        "it is over"
    );
}

// ---- on sockets ----

/// What becomes of a change.
async fn change(socket: &mut Socket, project: u8) -> Option<Code> {
    say(socket, [create_project(2, project)]).await;
    match next(socket).await {
        Said::Ok(_) => None,
        Said::Error(error) => Some(error.code()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn frames_go_by_rules_and_quotas_that_are_put_while_a_socket_is_open() {
    let running = Running::start().await;
    let service = &running.service;
    let (mut ada, mut bob) = (
        running.socket().await,
        running.socket_of("bob", "acme").await,
    );
    assert_eq!(change(&mut ada, 1).await, None);
    // Four tokens are two changes, one of which is made.
    done(
        service,
        "PUT",
        "/users/ada/quotas/frames?tenant=acme",
        r#"{"quota": "4/day"}"#,
    )
    .await;
    assert_eq!(change(&mut ada, 2).await, None);
    assert_eq!(change(&mut ada, 3).await, Some(Code::RateLimited));
    assert_eq!(change(&mut bob, 3).await, None);
    let two = r#"{"on": "frame.mutate", "by": "user", "quota": "2/day"}"#;
    done(service, "PUT", "/rules/changes", two).await;
    assert_eq!(change(&mut bob, 4).await, None);
    assert_eq!(change(&mut bob, 5).await, Some(Code::RateLimited));
    done(service, "DELETE", "/rules/changes", "").await;
    assert_eq!(change(&mut bob, 5).await, None);
}

#[tokio::test]
async fn a_block_ends_open_sockets_with_4403_and_its_end_lets_them_in_again() {
    let running = Running::start().await;
    let mut socket = running.socket().await;
    let here = "/blocks/127.0.0.0/8";
    done(&running.service, "PUT", here, r#"{"reason": "scraping"}"#).await;
    let Said::Goodbye(goodbye) = next(&mut socket).await else {
        panic!("no goodbye");
    };
    assert_eq!(goodbye.close_code, 4403);
    let Some(Ok(Message::Close(Some(close)))) = socket.next().await else {
        panic!("no close frame");
    };
    assert_eq!(u16::from(close.code), 4403);
    let refused = upgrade(running.request()).await.unwrap_err();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    done(&running.service, "DELETE", here, "").await;
    let mut socket = running.socket().await;
    assert_eq!(change(&mut socket, 1).await, None);
}
