//! Who may.

use http::StatusCode;
use pm_core::{Context, Identity};
use pm_ratelimit::admin::{Admin, OPENAPI};
use serde_json::Value;

use crate::fixture::{Fixture, anonymous, send};

/// Every path of the document with every method, and some that are not there.
fn everything() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
    let mut all = Vec::new();
    for template in document["paths"].as_object().expect("paths").keys() {
        let path = template
            .replace("{address}/{length}", "198.51.100.0/24")
            .replace("{address}", "192.0.2.1")
            .replace("{name}", "login")
            .replace("{id}", "ada")
            .replace("{rule}", "user");
        for method in [
            "GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS", "TRACE",
        ] {
            all.push((method.to_owned(), path.clone()));
        }
    }
    all.push(("GET".to_owned(), "/nothing".to_owned()));
    all.push(("GET".to_owned(), "/".to_owned()));
    all
}

#[tokio::test]
async fn whoever_is_not_known_is_answered_401_and_whoever_may_not_403_whatever_is_asked() {
    let fixture = Fixture::new();
    let others = [
        Identity::new("ada"),
        Identity::new("ada").with_roles(["administrator", "manager"]),
        // Of one tenant, not of the service.
        Identity::new("ada")
            .with_tenant("acme")
            .with_roles(["admin"]),
    ];
    for (method, path) in everything() {
        let answered = send(&fixture.admin, anonymous(&method, &path, "{}")).await;
        assert_eq!(answered.status, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_eq!(
            answered.headers["www-authenticate"], "Bearer",
            "RFC 9110 §15.5.2"
        );
        for identity in &others {
            let mut request = anonymous(&method, &path, "{}");
            request.extensions_mut().insert(identity.clone());
            let answered = send(&fixture.admin, request).await;
            assert_eq!(answered.status, StatusCode::FORBIDDEN, "{method} {path}");
        }
    }
    assert!(fixture.blocks.list(None, 10).is_empty());
    assert!(fixture.book.list(None, 10).is_empty());
    assert_eq!(fixture.emergency.state(), None);
}

#[tokio::test]
async fn a_client_cannot_say_who_it_is() {
    let fixture = Fixture::new();
    let mut request = anonymous("GET", "/rules", "");
    for (name, value) in [
        ("authorization", "Bearer root"),
        ("x-user", "root"),
        ("x-roles", "admin"),
        ("cookie", "role=admin"),
    ] {
        request
            .headers_mut()
            .insert(name, value.parse().expect("a header"));
    }
    let answered = send(&fixture.admin, request).await;
    assert_eq!(answered.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn others_may_if_it_says_so() {
    let fixture = Fixture::new();
    let admin = Admin::new(fixture.limiter.clone())
        .with_access(|identity| identity.has_role("on-call"))
        .with_challenge("Basic realm=\"limits\"".parse().expect("a header"));
    for (role, status) in [("admin", 403), ("on-call", 200)] {
        let mut request = anonymous("GET", "/rules", "");
        let identity = Identity::new("ada").with_tenant("acme").with_roles([role]);
        request.extensions_mut().insert(identity);
        assert_eq!(send(&admin, request).await.status, status, "{role}");
    }
    let answered = send(&admin, anonymous("GET", "/rules", "")).await;
    assert_eq!(
        answered.headers["www-authenticate"],
        "Basic realm=\"limits\""
    );
}

#[tokio::test]
async fn a_problem_has_the_id_of_the_request() {
    let fixture = Fixture::new();
    let mut request = anonymous("GET", "/rules", "");
    let context = Context::new("request-7".parse().expect("an id"));
    request.extensions_mut().insert(context);
    let answered = send(&fixture.admin, request).await;
    assert_eq!(answered.json["request_id"], "request-7");
}
