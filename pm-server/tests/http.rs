//! What is asked over HTTP, through the whole stack.

mod support;

use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode};
use pm_server::{
    auth::Role,
    domain::{Fields, Id, Kind, Operation, Patch, Place, Status},
};
use serde_json::json;
use support::service::{Service, id};

fn epic(id: Id, title: &str, place: Place) -> Operation {
    item(id, None, Kind::Epic, title, place)
}

fn item(item: Id, parent: Option<Id>, kind: Kind, title: &str, place: Place) -> Operation {
    Operation::CreateItem {
        id: item,
        project: id(1),
        parent,
        kind,
        fields: Fields {
            title: title.to_owned(),
            ..Fields::default()
        },
        place,
    }
}

/// A project with two epics, the first with a story with two tasks.
async fn backlog(service: &Service) {
    let project = Operation::CreateProject {
        id: id(1),
        name: "Roadmap".to_owned(),
    };
    let (story, task) = (Kind::Story, Kind::Task);
    for operation in [
        project,
        epic(id(11), "second", Place::Last),
        epic(id(10), "first", Place::First),
        item(id(20), Some(id(10)), story, "story", Place::Last),
        item(id(31), Some(id(20)), task, "b", Place::Last),
        item(id(30), Some(id(20)), task, "a", Place::First),
    ] {
        service.apply("acme", operation).await;
    }
}

#[tokio::test]
async fn a_project_is_shown_with_its_items_in_each_other() {
    let service = Service::new().await;
    backlog(&service).await;
    let viewer = service.bearer("acme", Role::Viewer);
    let path = format!("/api/v1/projects/{}/context", id(1));
    let answered = service.get(&path, Some(&viewer)).await;
    assert_eq!(answered.status, StatusCode::OK, "{answered:?}");

    let body = &answered.body;
    assert_eq!(body["project"]["name"], "Roadmap");
    assert_eq!(body["project"]["created_at"], "2026-01-01T00:00:00Z");
    assert_eq!(body["position"]["rev"], 6);
    assert!(
        body["position"]["epoch"]
            .as_str()
            .is_some_and(|epoch| epoch.len() == 36)
    );
    let titles = |at: &str| -> Vec<String> {
        let items = body.pointer(at).and_then(|items| items.as_array());
        items
            .expect("items")
            .iter()
            .map(|item| item["title"].as_str().expect("a title").to_owned())
            .collect()
    };
    assert_eq!(titles("/items"), ["first", "second"]);
    assert_eq!(titles("/items/0/items"), ["story"]);
    assert_eq!(titles("/items/0/items/0/items"), ["a", "b"]);
    assert_eq!(titles("/items/1/items"), Vec::<String>::new());
    let task = body.pointer("/items/0/items/0/items/0").expect("a task");
    assert_eq!(task["id"], id(30).to_string());
    assert_eq!(task["parent_id"], id(20).to_string());
    assert_eq!(
        (&task["kind"], &task["status"]),
        (&json!("task"), &json!("todo"))
    );
    assert_eq!(task["assignee"], json!(null));
}

#[tokio::test]
async fn an_item_is_shown_with_what_happened_to_its_fields() {
    let service = Service::new().await;
    backlog(&service).await;
    service.time.advance(Duration::from_millis(1500));
    let patch = Patch {
        status: Some(Status::InProgress),
        title: Some("A".to_owned()),
        description: Some("long".to_owned()),
        labels: Some(vec!["x".to_owned()]),
        assignee: Some("ada".to_owned()),
    };
    for operation in [
        Operation::UpdateItem {
            id: id(30),
            patch,
            expected: None,
        },
        Operation::MoveItem {
            id: id(30),
            parent: None,
            place: Place::Last,
            expected: None,
        },
    ] {
        service.apply("acme", operation).await;
    }
    let viewer = service.bearer("acme", Role::Viewer);
    let path = format!("/api/v1/work-items/{}", id(30));
    let answered = service.get(&path, Some(&viewer)).await;
    assert_eq!(answered.status, StatusCode::OK, "{answered:?}");

    assert_eq!(answered.body["item"]["title"], "A");
    assert_eq!(answered.body["item"]["version"], 3);
    let steps = answered.body["activity"].as_array().expect("steps");
    let [moved, updated, created] = &steps[..] else {
        panic!("three steps: {answered:?}");
    };
    assert_eq!(moved["action"], "moved");
    assert_eq!(moved["changes"][0]["field"], "rank");
    assert_eq!(updated["actor"], "grace");
    assert_eq!(updated["at"], "2026-01-01T00:00:01.5Z");
    assert_eq!(
        updated["changes"],
        json!([
            {"field": "status", "old": "todo", "new": "in_progress"},
            {"field": "title", "old": "a", "new": "A"},
            {"field": "description", "new": "long"},
            {"field": "labels", "old": [], "new": ["x"]},
            {"field": "assignee", "old": null, "new": "ada"},
        ])
    );
    assert_eq!(
        created["changes"],
        json!([
            {"field": "kind", "old": null, "new": "task"},
            {"field": "parent_id", "old": null, "new": id(20).to_string()},
            {"field": "status", "old": null, "new": "todo"},
            {"field": "title", "old": null, "new": "a"},
        ])
    );
}

#[tokio::test]
async fn nobody_reads_without_a_name() {
    let service = Service::new().await;
    backlog(&service).await;
    let paths = [
        format!("/api/v1/projects/{}/context", id(1)),
        format!("/api/v1/work-items/{}", id(30)),
    ];
    for path in &paths {
        let answered = service.get(path, None).await;
        answered.is_problem(StatusCode::UNAUTHORIZED, "urn:pm:problem:unauthenticated");
        assert_eq!(answered.headers["www-authenticate"], "Bearer");

        let answered = service.get(path, Some("Bearer a.b.c")).await;
        answered.is_problem(StatusCode::UNAUTHORIZED, "urn:pm:problem:unauthenticated");

        let viewer = service.bearer("acme", Role::Viewer);
        service.time.advance(Duration::from_secs(3600));
        let answered = service.get(path, Some(&viewer)).await;
        answered.is_problem(StatusCode::UNAUTHORIZED, "urn:pm:problem:unauthenticated");
        assert_eq!(answered.body["detail"], "the token has expired");
    }
}

#[tokio::test]
async fn one_tenant_reads_nothing_of_another() {
    let service = Service::new().await;
    backlog(&service).await;
    let beta = service.bearer("beta", Role::Admin);
    for path in [
        format!("/api/v1/projects/{}/context", id(1)),
        format!("/api/v1/work-items/{}", id(30)),
    ] {
        let answered = service.get(&path, Some(&beta)).await;
        answered.is_problem(StatusCode::NOT_FOUND, "urn:pm:problem:not-found");
    }
    let answered = service
        .get(
            &format!("/api/v1/work-items/{}", id(30)),
            Some(&service.operator("grace")),
        )
        .await;
    answered.is_problem(StatusCode::FORBIDDEN, "urn:pm:problem:forbidden");
    let detail = answered.body["detail"].as_str().expect("a detail");
    assert!(detail.contains("opens no tenant"), "{detail}");
    for nowhere in ["gamma", "../acme", "ACME"] {
        let bearer = service.bearer(nowhere, Role::Admin);
        let path = format!("/api/v1/work-items/{}", id(30));
        let answered = service.get(&path, Some(&bearer)).await;
        answered.is_problem(StatusCode::NOT_FOUND, "urn:pm:problem:unknown-tenant");
    }
}

#[tokio::test]
async fn what_is_not_an_id_is_a_bad_request() {
    let service = Service::new().await;
    let viewer = service.bearer("acme", Role::Viewer);
    for bad in [
        "7",
        "%ff",
        "..",
        "0198c6a0-5a3e-7c1a-9d51-6f4d2b8e7a9",
        "%00",
    ] {
        let path = format!("/api/v1/work-items/{bad}");
        let answered = service.get(&path, Some(&viewer)).await;
        answered.is_problem(StatusCode::BAD_REQUEST, "urn:pm:problem:bad-id");
    }
}

#[tokio::test]
async fn whatever_else_is_asked_is_a_problem() {
    let service = Service::new().await;
    for path in [
        "/",
        "/nothing",
        "/health",
        "/health/live/",
        "/api/v1",
        "/api/v1/projects/x",
    ] {
        let answered = service.get(path, None).await;
        answered.is_problem(StatusCode::NOT_FOUND, "about:blank");
    }
    for path in ["/health/live", "/api/v1/work-items/x", "/ws"] {
        let request = Request::post(path).body(Body::empty()).expect("a request");
        let answered = service.send(request).await;
        answered.is_problem(StatusCode::METHOD_NOT_ALLOWED, "about:blank");
        assert_eq!(answered.headers["allow"], "GET,HEAD");
    }
    let answered = service.get("/ws", None).await;
    answered.is_problem(StatusCode::BAD_REQUEST, "urn:pm:problem:not-an-upgrade");
    let body = Body::from(vec![0; 100_000]);
    let answered = service
        .send(Request::post("/ws").body(body).expect("a request"))
        .await;
    answered.is_problem(StatusCode::PAYLOAD_TOO_LARGE, "about:blank");
}

#[tokio::test]
async fn a_request_id_is_kept_if_it_is_one() {
    let service = Service::new().await;
    let ask = |id: &str| {
        let request = Request::get("/nothing").header("x-request-id", id);
        service.send(request.body(Body::empty()).expect("a request"))
    };
    assert_eq!(ask("mine-1").await.body["request_id"], "mine-1");
    assert_ne!(ask("not \"mine\"").await.body["request_id"], "not \"mine\"");
}

#[tokio::test]
async fn the_limit_is_told_and_kept() {
    let service = Service::new().await;
    let first = service.get("/nothing", None).await;
    assert_eq!(first.headers["ratelimit-policy"], "\"client\";q=60;w=60");
    assert_eq!(first.headers["ratelimit"], "\"client\";r=999;t=1");
    for _ in 1..1000 {
        assert_eq!(
            service.get("/nothing", None).await.status,
            StatusCode::NOT_FOUND
        );
    }
    let refused = service.get("/nothing", None).await;
    let quota_exceeded = "https://iana.org/assignments/http-problem-types#quota-exceeded";
    refused.is_problem(StatusCode::TOO_MANY_REQUESTS, quota_exceeded);
    assert_eq!(refused.headers["retry-after"], "1");
    service.time.advance(Duration::from_secs(1));
    assert_eq!(
        service.get("/nothing", None).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_socket_is_refused_to_foreign_pages_and_to_tokens_of_other_tenants() {
    let service = Service::new().await;
    let upgrade = |path: &str| {
        Request::get(path)
            .header("host", "pm.example")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let send = |request: http::request::Builder| {
        service.send(request.body(Body::empty()).expect("a request"))
    };
    // Without a connection below it, an upgrade that is let in goes no further.
    let let_in = StatusCode::UPGRADE_REQUIRED;
    assert_eq!(send(upgrade("/ws")).await.status, let_in);
    let own = upgrade("/ws").header("origin", "https://pm.example");
    assert_eq!(send(own).await.status, let_in);
    let foreign = upgrade("/ws").header("origin", "https://evil.example");
    let answered = send(foreign).await;
    answered.is_problem(StatusCode::FORBIDDEN, "urn:pm:problem:foreign-origin");

    let acme = service.bearer("acme", Role::Viewer);
    let answered = send(upgrade("/ws?tenant=acme").header("authorization", &acme)).await;
    assert_eq!(answered.status, let_in);
    let answered = send(upgrade("/ws?tenant=beta").header("authorization", &acme)).await;
    answered.is_problem(StatusCode::FORBIDDEN, "urn:pm:problem:forbidden");
    let answered = send(upgrade("/ws").header("authorization", "Bearer a.b.c")).await;
    answered.is_problem(StatusCode::UNAUTHORIZED, "urn:pm:problem:unauthenticated");
}
