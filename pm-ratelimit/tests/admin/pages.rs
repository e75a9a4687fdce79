//! Lists, a page at a time.

use serde_json::{Value, json};

use crate::fixture::Fixture;

/// All of a list by pages of so many, each asked for behind the one before.
async fn walk(fixture: &Fixture, path: &str, limit: usize, name: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = fixture.get(&format!("{path}?limit={limit}{after}")).await;
        let items = page["items"].as_array().expect("items");
        let names = items
            .iter()
            .map(|item| item[name].as_str().expect("a name"));
        all.extend(names.map(ToOwned::to_owned));
        match &page["next"] {
            Value::Null => return all,
            next => {
                assert_eq!(items.len(), limit, "only the last page is short");
                let next = next
                    .as_str()
                    .expect("a name")
                    .replace('/', "%2F")
                    .replace(' ', "+");
                after = format!("&after={next}");
            }
        }
    }
}

#[tokio::test]
async fn pages_of_any_size_are_the_whole_list_in_order() {
    let fixture = Fixture::new();
    for number in 0..23 {
        let on = format!("/{number}");
        let rule = json!({"on": on, "by": "user", "quota": "1/day"}).to_string();
        fixture
            .ask("PUT", &format!("/rules/rule%20{number:02}"), &rule)
            .await;
        let quota = json!({"quota": "1/day"}).to_string();
        let path = format!("/users/ada/quotas/rule%20{number:02}");
        assert_eq!(fixture.ask("PUT", &path, &quota).await.status, 200);
        fixture
            .ask("PUT", &format!("/blocks/10.0.{number}.0/24"), "{}")
            .await;
    }
    let mut rules: Vec<String> = (0..23).map(|number| format!("rule {number:02}")).collect();
    let blocks: Vec<String> = (0..23)
        .map(|number| format!("10.0.{number}.0/24"))
        .collect();
    for limit in [1, 2, 22, 23, 24, 25, 500] {
        assert_eq!(
            walk(&fixture, "/users/ada/quotas", limit, "rule").await,
            rules,
            "{limit}"
        );
        assert_eq!(
            walk(&fixture, "/blocks", limit, "prefix").await,
            blocks,
            "{limit}"
        );
    }
    rules.insert(0, "login".to_owned());
    rules.push("user".to_owned());
    for limit in [1, 7, 24, 25, 26] {
        assert_eq!(
            walk(&fixture, "/rules", limit, "name").await,
            rules,
            "{limit}"
        );
    }
}

#[tokio::test]
async fn a_page_has_a_hundred_unless_something_else_is_said() {
    let fixture = Fixture::new();
    for number in 0..120 {
        fixture
            .ask("PUT", &format!("/blocks/10.0.{number}.0/24"), "{}")
            .await;
    }
    let page = fixture.get("/blocks").await;
    assert_eq!(page["items"].as_array().expect("items").len(), 100);
    assert_eq!(page["next"], "10.0.99.0/24");
}
