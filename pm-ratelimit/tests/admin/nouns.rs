//! What comes of it.

use std::net::IpAddr;

use http::StatusCode;
use pm_core::Identity;
use pm_ratelimit::admin::Admin;
use pm_ratelimit::{BlockList, Limiter, Op, Subject};
use serde_json::json;
use tower::ServiceExt;

use crate::fixture::{Fixture, MINUTE, configured, request, send};

fn allowed(fixture: &Fixture, subject: &Subject<'_>) -> u32 {
    let mut allowed = 0;
    while fixture
        .limiter
        .try_check(subject, 1)
        .is_some_and(|verdict| verdict.is_allowed())
    {
        allowed += 1;
    }
    allowed
}

#[tokio::test]
async fn a_rule_is_in_force_with_the_answer_and_the_configured_one_again_without_it() {
    let fixture = Fixture::new();
    let rule = r#"{"by": "user", "quota": "4/minute"}"#;
    assert_eq!(fixture.ask("PUT", "/rules/user", rule).await.status, 201);
    let quota = |name: &str| {
        let rules = fixture.limiter.explain(&Subject::user("ada"), 1);
        let found = rules
            .rules()
            .iter()
            .find(|rule| rule.rule().as_str() == name);
        found.map(|rule| rule.quota().to_string())
    };
    assert_eq!(quota("user").as_deref(), Some("4/minute"));
    let shown = fixture.get("/rules/user").await;
    assert_eq!(
        (&shown["origin"], &shown["in_force"]),
        (&json!("stored"), &json!(true))
    );
    assert_eq!(fixture.ask("DELETE", "/rules/user", "").await.status, 204);
    assert_eq!(fixture.limiter.rules(), configured());
    assert_eq!(fixture.get("/rules/user").await["origin"], "configured");
}

#[tokio::test]
async fn nobody_overwrites_what_they_have_not_seen() {
    let fixture = Fixture::new();
    let rule = |tokens: u32| json!({"quota": format!("{tokens}/day")}).to_string();
    let put = async |tokens, condition| {
        let answered = fixture
            .ask_if("PUT", "/rules/x", &rule(tokens), condition)
            .await;
        (answered.status.as_u16(), answered.json["version"].as_u64())
    };
    assert_eq!(put(1, ("if-match", "*")).await.0, 412, "there is none");
    assert_eq!(put(1, ("if-match", "\"1\"")).await, (412, Some(0)));
    assert_eq!(put(1, ("if-none-match", "*")).await, (201, Some(1)));
    assert_eq!(put(2, ("if-none-match", "*")).await, (412, Some(1)));
    assert_eq!(put(2, ("if-match", "\"1\"")).await, (200, Some(2)));
    assert_eq!(put(3, ("if-match", "\"1\"")).await, (412, Some(2)));
    assert_eq!(
        put(2, ("if-match", "\"1\"")).await,
        (200, Some(2)),
        "sent again"
    );
    assert_eq!(put(3, ("if-match", "*")).await, (200, Some(3)));
    let shown = fixture.ask("GET", "/rules/x", "").await;
    assert_eq!(shown.headers["etag"], "\"3\"");
    for tag in ["3", "W/\"3\"", "\"x\"", "\"+3\"", "\"3\", \"4\"", "\"3"] {
        assert_eq!(put(4, ("if-match", tag)).await.0, 400, "{tag}");
    }
    assert_eq!(put(4, ("if-none-match", "\"3\"")).await.0, 400);

    let remove = async |tag| {
        let answered = fixture
            .ask_if("DELETE", "/rules/x", "", ("if-match", tag))
            .await;
        answered.status.as_u16()
    };
    assert_eq!(remove("\"2\"").await, 412);
    assert_eq!(fixture.get("/rules/x").await["version"], 3);
    assert_eq!(remove("\"3\"").await, 204);
}

/// Carried out nevertheless, it would overwrite what somebody else has said since.
#[tokio::test]
async fn a_condition_on_what_has_no_versions_is_never_met() {
    let fixture = Fixture::new();
    for (path, body) in [
        ("/users/ada/quotas/user", r#"{"quota": "7/minute"}"#),
        ("/blocks/192.0.2.1", "{}"),
        (
            "/emergency",
            r#"{"profile": "storm", "lasting_seconds": 60}"#,
        ),
    ] {
        for condition in [("if-match", "\"1\""), ("if-none-match", "*")] {
            for (method, body) in [("PUT", body), ("DELETE", "")] {
                let answered = fixture.ask_if(method, path, body, condition).await;
                assert_eq!(answered.status, 412, "{method} {path}");
                let detail = "this has no versions to compare with: leave the condition out";
                assert_eq!(answered.json["detail"], detail);
            }
        }
        let answered = fixture.ask("PUT", path, body).await;
        assert_eq!(answered.status, 200, "{path}");
    }
}

/// A block there would do nothing until the configuration changes, and then begin without anybody's
/// word.
#[tokio::test]
async fn what_the_configuration_lets_in_is_said_there_alone() {
    let office = "198.51.100.0/24".parse().expect("valid");
    let blocks = BlockList::builder().allow([office]).build();
    let limiter = Limiter::builder(configured()).build().expect("valid");
    let admin = Admin::new(limiter).with_blocks(blocks.clone());
    for (method, body) in [("PUT", "{}"), ("DELETE", "")] {
        let asked = request(method, "/blocks/198.51.100.0/24", body);
        let answered = send(&admin, asked).await;
        assert_eq!(answered.status, 409, "{method}");
    }
    let listed = blocks.get(office).expect("it is allowed");
    assert!(listed.is_configured() && listed.in_force);
}

#[tokio::test]
async fn a_quota_of_a_user_counts_at_once() {
    let fixture = Fixture::new();
    let put = fixture
        .ask("PUT", "/users/ada/quotas/user", r#"{"quota": "3/day"}"#)
        .await;
    assert_eq!(put.status, StatusCode::OK);
    let (ada, bob) = (Subject::user("ada"), Subject::user("bob"));
    // Whoever has not been seen is asked about once.
    assert!(fixture.limiter.check(&bob, 1).await.is_allowed());
    assert_eq!((allowed(&fixture, &ada), allowed(&fixture, &bob)), (3, 9));
    fixture.ask("DELETE", "/users/ada/quotas/user", "").await;
    fixture.time.advance(10 * MINUTE);
    let tenant = Identity::new("ada").with_tenant("acme");
    let other = Subject::identity(&tenant);
    assert!(fixture.limiter.check(&other, 1).await.is_allowed());
    assert_eq!(allowed(&fixture, &other), 9, "another one of the same name");
}

#[tokio::test]
async fn a_block_keeps_out_until_it_is_over_and_says_who_has_ordered_it() {
    let fixture = Fixture::new();
    let client = IpAddr::from([198, 51, 100, 7]);
    let body = r#"{"reason": "scraping", "expires_in_seconds": 60}"#;
    let shown = fixture
        .ask("PUT", "/blocks/198.51.100.0/24", body)
        .await
        .json;
    let since = shown["since_micros"].as_i64().expect("a time");
    assert_eq!(shown["until_micros"], since + 60_000_000);
    let blocked = fixture.blocks.check(client).expect("kept out");
    let listed = fixture.blocks.get(blocked.prefix()).expect("it is listed");
    assert_eq!(
        (&*listed.entry.actor, &*listed.entry.reason),
        ("root", "scraping")
    );
    let shown = fixture.get("/blocks/198.51.100.0/24").await;
    assert_eq!(shown["hits"], 1);

    fixture
        .ask("PUT", "/blocks/198.51.100.7", r#"{"effect": "allow"}"#)
        .await;
    assert!(
        fixture.blocks.check(client).is_none(),
        "allowing beats blocking"
    );
    fixture.ask("DELETE", "/blocks/198.51.100.7", "").await;
    assert!(fixture.blocks.check(client).is_some());
    fixture.time.advance(MINUTE);
    assert!(fixture.blocks.check(client).is_none());
    let gone = fixture.ask("GET", "/blocks/198.51.100.0/24", "").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_emergency_is_declared_and_left() {
    let fixture = Fixture::new();
    let body = r#"{"profile": "storm", "lasting_seconds": 60, "because": "bots"}"#;
    fixture.ask("PUT", "/emergency", body).await;
    let ada = Subject::user("ada");
    assert!(fixture.limiter.check(&ada, 1).await.is_allowed());
    assert_eq!(allowed(&fixture, &ada), 1, "a fifth of ten");
    let metrics = fixture.get("/metrics").await;
    assert_eq!(metrics["emergency"]["because"], "bots");
    fixture.ask("DELETE", "/emergency", "").await;
    assert_eq!(allowed(&fixture, &ada), 8);
    fixture.ask("PUT", "/emergency", body).await;
    fixture.time.advance(MINUTE);
    assert_eq!(fixture.get("/emergency").await["in_force"], json!(null));
}

#[tokio::test]
async fn metrics_say_what_was_decided_and_who_was_refused_where() {
    let fixture = Fixture::new();
    let client = IpAddr::from([192, 0, 2, 1]);
    let ada = Subject::user("ada").client(client);
    assert!(fixture.limiter.check(&ada, 1).await.is_allowed());
    for _ in 0..12 {
        let _ = fixture.limiter.try_check(&ada, Op::new("task.update"));
    }
    let metrics = fixture.get("/metrics").await;
    let user = |metrics: &serde_json::Value| {
        let rules = metrics["decisions"].as_array().expect("they are counted");
        let user = rules
            .iter()
            .find(|rule| rule["rule"] == "user")
            .expect("it is there");
        (user["allowed"].clone(), user["refused"].clone())
    };
    assert_eq!(user(&metrics), (json!(10), json!(3)));
    assert_eq!(metrics["store"], json!({"state": "up"}));
    let violations = &metrics["violations"];
    assert_eq!(violations["seen"], 3);
    assert_eq!(
        violations["last_hour"],
        json!([{"endpoint": "task.update", "count": 3}])
    );
    assert_eq!(
        violations["top_offenders"],
        json!([{"prefix": "192.0.2.1/32", "count": 3, "error": 0}])
    );

    fixture.violations.flush().await.expect("in memory");
    let recent = fixture.get("/violations/192.0.2.1?limit=2").await;
    let items = recent["items"].as_array().expect("items");
    assert_eq!(items.len(), 2);
    assert_eq!(
        (&items[0]["endpoint"], &items[0]["addr"]),
        (&json!("task.update"), &json!("192.0.2.1"))
    );

    // What is counted goes on when the rules change.
    fixture
        .ask("PUT", "/rules/x", r#"{"quota": "1/day"}"#)
        .await;
    assert_eq!(user(&fixture.get("/metrics").await), (json!(10), json!(3)));
}

#[tokio::test]
async fn explain_says_which_rules_apply_and_why() {
    let fixture = Fixture::new();
    fixture
        .ask("PUT", "/users/ada/quotas/user", r#"{"quota": "3/day"}"#)
        .await;
    fixture
        .ask("PUT", "/blocks/192.0.2.0/24", r#"{"reason": "x"}"#)
        .await;
    fixture
        .ask(
            "PUT",
            "/emergency",
            r#"{"profile": "storm", "lasting_seconds": 60}"#,
        )
        .await;
    let asked = json!({"user": "ada", "client": "192.0.2.1", "method": "POST", "path": "/login", "stage": "edge"});
    let explained = fixture
        .ask("POST", "/explain", &asked.to_string())
        .await
        .json;
    assert_eq!(explained["blocked"]["prefix"], "192.0.2.0/24");
    assert_eq!(explained["emergency"], "storm");
    let rule = |name: &str| {
        let mut rules = explained["rules"].as_array().expect("rules").iter();
        let found = rules.find(|rule| rule["rule"] == name);
        found.expect("it is there")
    };
    let login = rule("login");
    assert_eq!(
        (&login["applies"], &login["because"]),
        (&json!(true), &json!("most-specific"))
    );
    assert_eq!(
        (&login["quota"], &login["reduced"]),
        (&json!("1/minute"), &json!(true))
    );
    assert_eq!(rule("user")["because"], "elsewhere");

    let asked = json!({"user": "ada"}).to_string();
    let explained = fixture.ask("POST", "/explain", &asked).await.json;
    let user = explained["rules"]
        .as_array()
        .expect("rules")
        .iter()
        .find(|rule| rule["rule"] == "user");
    assert_eq!(user.expect("it is there")["own_quota"], "3/day");
    assert!(
        fixture
            .blocks
            .get("192.0.2.0/24".parse().expect("a prefix"))
            .is_some_and(|listed| listed.hits == 0)
    );
}

#[tokio::test]
async fn it_can_be_mounted_with_a_router_and_without_one() {
    let fixture = Fixture::new();
    let app: axum::Router =
        axum::Router::new().nest_service("/admin/limits", fixture.admin.clone());
    for (path, status) in [
        ("/admin/limits/rules", 200),
        ("/admin/limits/x", 404),
        ("/rules", 404),
    ] {
        let request = request("GET", path, "").map(axum::body::Body::new);
        let answer = app.clone().oneshot(request).await.expect("infallible");
        assert_eq!(answer.status(), status, "{path}");
    }
    let admin: Admin = fixture.admin.clone().with_path("/admin/limits/");
    for (path, status) in [
        ("/admin/limits/rules", 200),
        ("/admin/limitsrules", 404),
        ("/admin/limits", 404),
        ("/rules", 404),
    ] {
        assert_eq!(
            send(&admin, request("GET", path, "")).await.status,
            status,
            "{path}"
        );
    }
}
