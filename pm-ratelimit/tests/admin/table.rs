//! Every route, with what is good for it and what is not.

use serde_json::{Value, json};

use crate::fixture::Fixture;

/// What is asked, with which body, and the status and a part of what is answered.
type Row = (&'static str, &'static str, &'static str, u16, Value);

/// In this order, each on what those before it have left.
fn rows() -> Vec<Row> {
    let ada = "/users/ada/quotas/user";
    vec![
        // rules
        (
            "GET",
            "/rules",
            "",
            200,
            json!({"items": [{"name": "login"}, {"name": "user"}], "next": null}),
        ),
        (
            "GET",
            "/rules?limit=1",
            "",
            200,
            json!({"items": [{"name": "login"}], "next": "login"}),
        ),
        (
            "GET",
            "/rules?after=login",
            "",
            200,
            json!({"items": [{"name": "user"}], "next": null}),
        ),
        (
            "GET",
            "/rules?limit=0",
            "",
            400,
            json!({"detail": "the parameter \"limit\" is a number from 1 to 500"}),
        ),
        ("GET", "/rules?limit=501", "", 400, json!({})),
        ("GET", "/rules?limit=x", "", 400, json!({})),
        (
            "GET",
            "/rules?limit=1&limit=2",
            "",
            400,
            json!({"detail": "the parameter \"limit\" is there twice"}),
        ),
        (
            "GET",
            "/rules?page=2",
            "",
            400,
            json!({"detail": "there is no parameter \"page\": there are after, limit"}),
        ),
        (
            "GET",
            "/rules?after=%ff",
            "",
            400,
            json!({"detail": "the query is not UTF-8"}),
        ),
        ("POST", "/rules", "{}", 405, json!({})),
        (
            "GET",
            "/rules/login",
            "",
            200,
            json!({"name": "login", "origin": "configured", "version": null, "in_force": true}),
        ),
        ("HEAD", "/rules/login", "", 200, json!({})),
        (
            "GET",
            "/rules/nobody",
            "",
            404,
            json!({"detail": "there is no rule of this name"}),
        ),
        (
            "GET",
            "/rules/login?limit=1",
            "",
            400,
            json!({"detail": "there is no parameter \"limit\", nor any other"}),
        ),
        (
            "PATCH",
            "/rules/login",
            "{}",
            405,
            json!({"detail": "this can be asked by GET, PUT, DELETE, HEAD"}),
        ),
        ("DELETE", "/rules/login", "", 404, json!({})),
        (
            "PUT",
            "/rules/search",
            r#"{"on": "GET /search", "quota": "30/minute"}"#,
            201,
            json!({"name": "search", "origin": "stored", "version": 1, "in_force": true}),
        ),
        (
            "PUT",
            "/rules/search",
            r#"{"on": "GET /search", "quota": "20/minute"}"#,
            200,
            json!({"version": 2, "rule": {"quota": "20/minute"}}),
        ),
        (
            "GET",
            "/rules/search",
            "",
            200,
            json!({"version": 2, "rule": {"on": "GET /search", "by": "caller", "quota": "20/minute"}}),
        ),
        (
            "PUT",
            "/rules/a%20b",
            r#"{"by": "user", "quota": "1/day"}"#,
            201,
            json!({"name": "a b"}),
        ),
        ("DELETE", "/rules/a%20b", "", 204, json!(null)),
        (
            "PUT",
            "/rules/search",
            r#"{"quote": "1/day"}"#,
            422,
            json!({}),
        ),
        (
            "PUT",
            "/rules/search",
            r#"{"quota": "1 a day"}"#,
            422,
            json!({}),
        ),
        (
            "PUT",
            "/rules/search",
            r#"{"quota": "1/day", "cost": 2}"#,
            422,
            json!({"rule": "search", "field": "cost"}),
        ),
        (
            "PUT",
            "/rules/search",
            r#"{"by": "user"}"#,
            422,
            json!({"rule": "search", "field": "quota"}),
        ),
        (
            "PUT",
            "/rules/search",
            r#"{"on": "GET search//", "quota": "1/day"}"#,
            422,
            json!({"rule": "search", "field": "on"}),
        ),
        (
            "PUT",
            "/rules/%C3%A9",
            r#"{"quota": "1/day"}"#,
            422,
            json!({"field": "name"}),
        ),
        ("PUT", "/rules/search", "{", 400, json!({})),
        ("PUT", "/rules/search", "[]", 422, json!({})),
        ("PUT", "/rules/search", "", 415, json!({})),
        ("GET", "/rules/search", "", 200, json!({"version": 2})),
        ("DELETE", "/rules/search", "", 204, json!(null)),
        ("DELETE", "/rules/search", "", 404, json!({})),
        ("GET", "/rules/search", "", 404, json!({})),
        // quotas of users
        (
            "GET",
            "/users/ada/quotas",
            "",
            200,
            json!({"items": [], "next": null}),
        ),
        (
            "GET",
            ada,
            "",
            404,
            json!({"detail": "the user has no quota of their own by this rule"}),
        ),
        (
            "PUT",
            ada,
            r#"{"quota": "100/minute burst 5"}"#,
            200,
            json!({"rule": "user", "quota": "100/minute burst 5"}),
        ),
        (
            "GET",
            ada,
            "",
            200,
            json!({"rule": "user", "quota": "100/minute burst 5"}),
        ),
        (
            "GET",
            "/users/ada/quotas",
            "",
            200,
            json!({"items": [{"rule": "user", "quota": "100/minute burst 5"}]}),
        ),
        (
            "GET",
            "/users/ada/quotas?tenant=acme",
            "",
            200,
            json!({"items": []}),
        ),
        (
            "PUT",
            "/users/ada/quotas/user?tenant=acme",
            r#"{"quota": "1/day"}"#,
            200,
            json!({}),
        ),
        (
            "GET",
            "/users/ada/quotas/user?tenant=acme",
            "",
            200,
            json!({"quota": "1/day"}),
        ),
        ("PUT", ada, r#"{"quota": "0/day"}"#, 422, json!({})),
        (
            "PUT",
            ada,
            r#"{"quota": "1/day", "burst": 2}"#,
            422,
            json!({}),
        ),
        ("PUT", ada, "{}", 422, json!({})),
        (
            "PUT",
            "/users/ada/quotas/nobody",
            r#"{"quota": "1/day"}"#,
            422,
            json!({"rule": "nobody", "field": "name"}),
        ),
        (
            "PUT",
            "/users/ada/quotas/login",
            r#"{"quota": "1/day"}"#,
            422,
            json!({"field": "by"}),
        ),
        (
            "PUT",
            "/users/a%00b/quotas/user",
            r#"{"quota": "1/day"}"#,
            422,
            json!({"field": "user_id"}),
        ),
        ("GET", "/users/ada/quotas?after=%C3%A9", "", 400, json!({})),
        ("GET", "/users/ada/quotas/user?after=x", "", 400, json!({})),
        ("POST", "/users/ada/quotas", "{}", 405, json!({})),
        ("DELETE", ada, "", 204, json!(null)),
        ("DELETE", ada, "", 404, json!({})),
        ("GET", "/users/ada", "", 404, json!({})),
        // blocks
        (
            "GET",
            "/blocks",
            "",
            200,
            json!({"items": [], "next": null}),
        ),
        (
            "PUT",
            "/blocks/198.51.100.0/24",
            r#"{"reason": "scraping", "expires_in_seconds": 60}"#,
            200,
            json!({"prefix": "198.51.100.0/24", "effect": "block", "cause": "manual", "reason": "scraping", "actor": "root"}),
        ),
        (
            "GET",
            "/blocks/198.51.100.0/24",
            "",
            200,
            json!({"reason": "scraping", "hits": 0}),
        ),
        (
            "GET",
            "/blocks/198.51.100.0%2F24",
            "",
            200,
            json!({"reason": "scraping"}),
        ),
        (
            "PUT",
            "/blocks/192.0.2.1",
            r#"{"effect": "allow"}"#,
            200,
            json!({"prefix": "192.0.2.1/32", "effect": "allow", "until_micros": null}),
        ),
        (
            "GET",
            "/blocks",
            "",
            200,
            json!({"items": [{"prefix": "192.0.2.1/32"}, {"prefix": "198.51.100.0/24"}], "next": null}),
        ),
        (
            "GET",
            "/blocks?limit=1",
            "",
            200,
            json!({"items": [{"prefix": "192.0.2.1/32"}], "next": "192.0.2.1/32"}),
        ),
        (
            "GET",
            "/blocks?after=192.0.2.1/32",
            "",
            200,
            json!({"items": [{"prefix": "198.51.100.0/24"}]}),
        ),
        ("GET", "/blocks?after=x", "", 400, json!({})),
        ("PUT", "/blocks/x", "{}", 400, json!({})),
        ("PUT", "/blocks/192.0.2.1/33", "{}", 400, json!({})),
        (
            "PUT",
            "/blocks/192.0.2.1",
            r#"{"effect": "lifted"}"#,
            422,
            json!({}),
        ),
        (
            "PUT",
            "/blocks/192.0.2.1",
            r#"{"expires_in_seconds": 0}"#,
            422,
            json!({"detail": "`expires_in_seconds` is from 1 to 316224000"}),
        ),
        (
            "PUT",
            "/blocks/192.0.2.1",
            r#"{"expires_in_seconds": 316224001}"#,
            422,
            json!({}),
        ),
        (
            "PUT",
            "/blocks/192.0.2.1",
            r#"{"expires_in_seconds": -1}"#,
            422,
            json!({}),
        ),
        (
            "PUT",
            "/blocks/192.0.2.1",
            r#"{"reason": "a\u0000b"}"#,
            422,
            json!({}),
        ),
        (
            "PUT",
            "/blocks/192.0.2.1",
            r#"{"actor": "somebody else"}"#,
            422,
            json!({}),
        ),
        ("POST", "/blocks", "{}", 405, json!({})),
        ("DELETE", "/blocks/192.0.2.1", "", 204, json!(null)),
        ("DELETE", "/blocks/192.0.2.1", "", 404, json!({})),
        ("GET", "/blocks/192.0.2.1", "", 404, json!({})),
        ("GET", "/blocks/192.0.2.0/24", "", 404, json!({})),
        // emergencies
        (
            "GET",
            "/emergency",
            "",
            200,
            json!({"in_force": null, "profiles": ["storm"]}),
        ),
        (
            "DELETE",
            "/emergency",
            "",
            404,
            json!({"detail": "no emergency is in force"}),
        ),
        (
            "PUT",
            "/emergency",
            r#"{"profile": "storm", "lasting_seconds": 60, "because": "bots"}"#,
            200,
            json!({"profile": "storm", "cause": "manual", "by": "root", "because": "bots"}),
        ),
        (
            "GET",
            "/emergency",
            "",
            200,
            json!({"in_force": {"profile": "storm", "by": "root"}}),
        ),
        (
            "PUT",
            "/emergency",
            r#"{"profile": "drizzle", "lasting_seconds": 60}"#,
            422,
            json!({"detail": "there is no such profile: there are storm"}),
        ),
        (
            "PUT",
            "/emergency",
            r#"{"profile": "storm"}"#,
            422,
            json!({}),
        ),
        (
            "PUT",
            "/emergency",
            r#"{"profile": "storm", "lasting_seconds": 0}"#,
            422,
            json!({}),
        ),
        (
            "PUT",
            "/emergency",
            r#"{"profile": "storm", "lasting_seconds": 604801}"#,
            422,
            json!({}),
        ),
        (
            "PUT",
            "/emergency",
            r#"{"profile": "storm", "lasting_seconds": 60, "by": "ada"}"#,
            422,
            json!({}),
        ),
        ("POST", "/emergency", "{}", 405, json!({})),
        ("DELETE", "/emergency", "", 204, json!(null)),
        ("GET", "/emergency", "", 200, json!({"in_force": null})),
        // the rest
        (
            "GET",
            "/metrics",
            "",
            200,
            json!({"store": {"state": "up"}, "emergency": null}),
        ),
        ("GET", "/metrics?rule=user", "", 400, json!({})),
        ("PUT", "/metrics", "{}", 405, json!({})),
        (
            "GET",
            "/violations/192.0.2.1",
            "",
            200,
            json!({"items": []}),
        ),
        (
            "GET",
            "/violations/192.0.2.1?limit=5",
            "",
            200,
            json!({"items": []}),
        ),
        (
            "GET",
            "/violations/2001:db8::1",
            "",
            200,
            json!({"items": []}),
        ),
        ("GET", "/violations/x", "", 400, json!({})),
        ("GET", "/violations/192.0.2.0/24", "", 404, json!({})),
        ("GET", "/violations", "", 404, json!({})),
        (
            "POST",
            "/explain",
            "{}",
            200,
            json!({"blocked": null, "emergency": null}),
        ),
        (
            "POST",
            "/explain",
            r#"{"user": "ada", "method": "GET", "path": "/x"}"#,
            200,
            json!({"rules": [{"rule": "login", "applies": false}, {"rule": "user", "applies": true}]}),
        ),
        ("POST", "/explain", r#"{"path": "/a%2fb"}"#, 422, json!({})),
        (
            "POST",
            "/explain",
            r#"{"path": "/", "operation": "a"}"#,
            422,
            json!({}),
        ),
        (
            "POST",
            "/explain",
            r#"{"method": "G T", "path": "/"}"#,
            422,
            json!({}),
        ),
        (
            "POST",
            "/explain",
            r#"{"client": "somewhere"}"#,
            422,
            json!({}),
        ),
        ("POST", "/explain", r#"{"stage": "late"}"#, 422, json!({})),
        ("POST", "/explain", r#"{"use": "ada"}"#, 422, json!({})),
        ("GET", "/explain", "", 405, json!({})),
        ("GET", "/openapi.json", "", 200, json!({"openapi": "3.1.0"})),
        ("GET", "/", "", 404, json!({})),
        (
            "GET",
            "/nothing",
            "",
            404,
            json!({"detail": "there is nothing of this name: see /openapi.json"}),
        ),
        ("GET", "/rules/a/b/c/d/e/f", "", 404, json!({})),
    ]
}

/// Whether all that is wanted is there; lists are whole.
fn has(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, wanted)| found.get(name).is_some_and(|found| has(found, wanted))),
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len()
                && found
                    .iter()
                    .zip(wanted)
                    .all(|(found, wanted)| has(found, wanted))
        }
        _ => found == wanted,
    }
}

#[tokio::test]
async fn every_route_answers_what_is_good_and_what_is_not() {
    let fixture = Fixture::new();
    for (method, path, body, status, wanted) in rows() {
        let answered = fixture.ask(method, path, body).await;
        let asked = format!("{method} {path} {body}");
        assert_eq!(answered.status, status, "{asked}: {answered:?}");
        if method != "HEAD" {
            assert!(
                has(&answered.json, &wanted),
                "{asked}: {} is not {wanted}",
                answered.json
            );
        }
        assert_eq!(
            answered.headers.contains_key("allow"),
            status == 405,
            "{asked}"
        );
    }
}

/// A field that nobody knows is named, so that it is found.
#[tokio::test]
async fn unknown_fields_are_refused_by_name() {
    let fixture = Fixture::new();
    for (method, path, body) in [
        ("PUT", "/rules/x", r#"{"quota": "1/day", "surprise": 1}"#),
        (
            "PUT",
            "/users/ada/quotas/user",
            r#"{"quota": "1/day", "surprise": 1}"#,
        ),
        ("PUT", "/blocks/192.0.2.1", r#"{"surprise": 1}"#),
        (
            "PUT",
            "/emergency",
            r#"{"profile": "storm", "lasting_seconds": 1, "surprise": 1}"#,
        ),
        ("POST", "/explain", r#"{"surprise": 1}"#),
        (
            "POST",
            "/explain",
            r#"{"custom": {"kind": "a", "value": "b", "surprise": 1}}"#,
        ),
    ] {
        let answered = fixture.ask(method, path, body).await;
        assert_eq!(answered.status, 422, "{path}");
        let detail = answered.json["detail"].as_str().expect("a detail");
        assert!(detail.contains("unknown field `surprise`"), "{detail}");
    }
    assert_eq!(fixture.emergency.state(), None);
    assert!(fixture.book.list(None, 10).is_empty());
    assert!(fixture.blocks.list(None, 10).is_empty());
}

#[tokio::test]
async fn a_put_that_is_sent_again_changes_nothing_more() {
    let fixture = Fixture::new();
    for (path, body) in [
        ("/rules/x", r#"{"quota": "1/day"}"#),
        ("/users/ada/quotas/user", r#"{"quota": "1/day"}"#),
        (
            "/blocks/192.0.2.0/24",
            r#"{"reason": "x", "expires_in_seconds": 60}"#,
        ),
        (
            "/emergency",
            r#"{"profile": "storm", "lasting_seconds": 60}"#,
        ),
    ] {
        let first = fixture.ask("PUT", path, body).await;
        assert!(first.status.is_success(), "{first:?}");
        let after_one = fixture.get(path).await;
        let second = fixture.ask("PUT", path, body).await;
        assert_eq!(second.status, 200, "{path}");
        assert_eq!(second.json, first.json, "{path}");
        assert_eq!(
            second.headers.get("etag"),
            first.headers.get("etag"),
            "{path}"
        );
        assert_eq!(fixture.get(path).await, after_one, "{path}");
    }
}
