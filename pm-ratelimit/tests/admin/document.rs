//! What is answered is what the document says.

use pm_ratelimit::admin::OPENAPI;
use serde_json::{Value, json};

use crate::fixture::{Fixture, request, send};

fn resolve<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).expect(reference),
        None => value,
    }
}

/// What of the value is not as the schema says, as far as ours go.
fn fault(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if schema["$ref"].is_string() {
        return fault(document, resolve(document, schema), value, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let faults: Vec<String> = any
            .iter()
            .map_while(|schema| fault(document, schema, value, at))
            .collect();
        return (faults.len() == any.len()).then(|| faults.join(", and "));
    }
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return Some(format!("{at} has no type in the document")),
    };
    let is = |kind: &&str| match *kind {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("{other}"),
    };
    if !types.iter().any(is) {
        return Some(format!("{at} is {value} and not {types:?}"));
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        return Some(format!("{at} is {value} and none of {values:?}"));
    }
    if let Some(items) = value.as_array() {
        let faults =
            |(number, item)| fault(document, &schema["items"], item, &format!("{at}[{number}]"));
        return items.iter().enumerate().find_map(faults);
    }
    let members = value
        .as_object()
        .filter(|_| schema["properties"].is_object())?;
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if !members.contains_key(name) {
            return Some(format!("{at} lacks {name}"));
        }
    }
    members
        .iter()
        .find_map(|(name, member)| match &schema["properties"][name] {
            Value::Null => Some(format!("{at} has {name}")),
            schema => fault(document, schema, member, &format!("{at}.{name}")),
        })
}

/// Asked of a fixture where there is something of everything.
#[tokio::test]
async fn every_operation_of_the_document_answers_as_it_says() {
    let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
    let fixture = Fixture::new();
    let client = std::net::IpAddr::from([192, 0, 2, 1]);
    let ada = pm_ratelimit::Subject::user("ada").client(client);
    for _ in 0..13 {
        let _ = fixture.limiter.check(&ada, 1).await;
    }
    fixture.violations.flush().await.expect("in memory");
    fixture.book.synchronize().await.expect("in memory");
    fixture.blocks.synchronize().await.expect("in memory");
    let bodies = [
        (
            "/rules/{name}",
            json!({"on": "/x", "by": "user", "quota": "1/day", "roles": {"admin": 5}, "shadow": true}),
        ),
        ("/users/{id}/quotas/{rule}", json!({"quota": "3/minute"})),
        (
            "/blocks/{address}",
            json!({"reason": "x", "expires_in_seconds": 60}),
        ),
        ("/blocks/{address}/{length}", json!({"effect": "allow"})),
        (
            "/emergency",
            json!({"profile": "storm", "lasting_seconds": 60}),
        ),
        (
            "/explain",
            json!({"user": "ada", "client": "192.0.2.1", "operation": "x"}),
        ),
    ];
    let paths = document["paths"].as_object().expect("paths");
    let mut asked = 0;
    // What is put there is looked at, and taken away last.
    for method in ["put", "get", "post", "get", "delete", "get", "delete"] {
        for (template, operations) in paths {
            let operation = &operations[method];
            if operation.is_null() {
                continue;
            }
            let path = template
                .replace("{address}/{length}", "198.51.100.0/24")
                .replace("{address}", "192.0.2.1")
                .replace("{name}", "new")
                .replace("{id}", "ada")
                .replace("{rule}", "user");
            let body = bodies.iter().find(|(known, _)| known == template);
            let takes_one = operation["requestBody"].is_object();
            assert_eq!(
                takes_one,
                ["put", "post"].contains(&method),
                "{method} {template}"
            );
            let body = body.filter(|_| takes_one).map(|(_, body)| body.to_string());
            if let Some(body) = &body {
                let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
                let body = serde_json::from_str(body).expect("JSON");
                assert_eq!(fault(&document, schema, &body, template), None);
            }
            let asking = request(&method.to_uppercase(), &path, &body.unwrap_or_default());
            let answered = send(&fixture.admin, asking).await;
            let response = &operation["responses"][answered.status.as_str()];
            let response = resolve(&document, response);
            assert!(response.is_object(), "{method} {template}: {answered:?}");
            let kind = answered.headers.get("content-type");
            let kind = kind.map(|kind| kind.to_str().expect("ASCII"));
            match kind {
                None => assert!(response["content"].is_null(), "{method} {template}"),
                Some(kind) => {
                    let schema = &response["content"][kind]["schema"];
                    assert_eq!(fault(&document, schema, &answered.json, template), None);
                }
            }
            asked += 1;
        }
    }
    assert_eq!(asked, 5 + 1 + 3 * 11 + 2 * 5, "something was left out");
}
