//! Rules as they are written in files.

use std::collections::BTreeMap;

use pm_ratelimit::emergency::{Answer, Emergency, Profile, Reduction};
use pm_ratelimit::{By, Limiter, OnFailure, Quota, Rule, Rules, STANDARD_ROLES, Stage};
use proptest::prelude::*;

const FILE: &str = r#"{
    "login": {
        "on": "POST /login",
        "by": "client",
        "quota": "5/minute",
        "stage": "edge",
        "if_store_fails": "closed"
    },
    "user": {"by": "user", "quota": "300/minute burst 50", "roles": {"admin": 5, "manager": "3"}},
    "poll": {"on": "poll", "by": "user", "quota": "600/minute", "leased": 50},
    "card": {"on": "/pay", "by": "custom:card", "quota": "3/day", "cost": 2, "priority": -1, "shadow": true}
}"#;

fn rules() -> Rules {
    Rules::new()
        .rule(
            "login",
            Rule::on("POST /login")
                .by(By::Client)
                .quota(Quota::per_minute(5))
                .stage(Stage::Edge)
                .if_store_fails(OnFailure::Closed),
        )
        .rule(
            "user",
            Rule::always()
                .by(By::User)
                .quota(Quota::per_minute(300).burst(50))
                .roles(STANDARD_ROLES),
        )
        .rule(
            "poll",
            Rule::on("poll")
                .by(By::User)
                .quota(Quota::per_minute(600))
                .leased(50),
        )
        .rule(
            "card",
            Rule::on("/pay")
                .by(By::Custom("card".into()))
                .quota(Quota::per_day(3))
                .cost(2)
                .priority(-1)
                .shadow(),
        )
}

#[test]
fn a_file_is_rules() {
    let read: Rules = serde_json::from_str(FILE).expect("valid");
    assert_eq!(read, rules());
    assert!(Limiter::builder(read).build().is_ok());
}

#[test]
fn mistakes_are_found_when_it_is_read_or_when_it_is_built() {
    for (file, message) in [
        (r#"{"a": {"quote": "1/day"}}"#, "unknown field `quote`"),
        (r#"{"a": {"quota": "1 per day"}}"#, "a quota reads like"),
        (r#"{"a": {"by": "ip"}}"#, "a rule is by user, client"),
        (
            r#"{"a": {"roles": {"x": 1.5}}}"#,
            "invalid type: floating point",
        ),
        (r#"{"a": {"stage": "late"}}"#, "unknown variant `late`"),
        ("[]", "a map of names to rules"),
    ] {
        let error = serde_json::from_str::<Rules>(file)
            .expect_err(file)
            .to_string();
        assert!(error.contains(message), "{error}");
    }
    let twice = r#"{"a": {"quota": "1/day"}, "a": {"quota": "2/day"}}"#;
    let twice: Rules = serde_json::from_str(twice).expect("the fault is found later");
    assert_eq!(
        Limiter::builder(twice).build().expect_err("twice").field(),
        "name"
    );
}

const PROFILES: &str = r#"{
    "storm": {
        "times": "1/5",
        "rules": {"login": "exempt", "search": "1/10", "bulk": "10/hour burst 2"},
        "extra": {"everyone": {"by": "everyone", "quota": "500/second"}},
        "exempt_roles": ["admin"],
        "answer": "temporary-reduced-capacity"
    },
    "nothing": {}
}"#;

#[test]
fn profiles_are_a_map_of_names_to_what_is_reduced() {
    let read: BTreeMap<String, Profile> = serde_json::from_str(PROFILES).expect("valid");
    let everyone = Rule::always()
        .by(By::Everyone)
        .quota(Quota::per_second(500));
    let storm = Profile::scale(1, 5)
        .rule("login", Reduction::Exempt)
        .rule("search", Reduction::Times("1/10".parse().expect("a part")))
        .rule("bulk", Quota::per_hour(10).burst(2))
        .extra("everyone", everyone)
        .exempt_role("admin")
        .answering(Answer::TemporaryReducedCapacity);
    assert_eq!(read["storm"], storm);
    assert_eq!(read["nothing"], Profile::new());
    let written = serde_json::to_string(&read).expect("plain data");
    assert_eq!(
        serde_json::from_str::<BTreeMap<String, Profile>>(&written).expect("as written"),
        read
    );
    assert!(Emergency::builder().profiles(read).build().is_ok());

    for (file, message) in [
        (r#"{"time": "1/5"}"#, "unknown field `time`"),
        (
            r#"{"rules": {"login": "none"}}"#,
            "a rule is reduced by exempt, by a part",
        ),
        (r#"{"answer": "503"}"#, "unknown variant `503`"),
    ] {
        let error = serde_json::from_str::<Profile>(file)
            .expect_err(file)
            .to_string();
        assert!(error.contains(message), "{error}");
    }
    let more: Profile = serde_json::from_str(r#"{"times": 2}"#).expect("the fault is found later");
    let error = Emergency::builder()
        .profile("more", more)
        .build()
        .expect_err("more");
    assert_eq!((error.profile(), error.field()), ("more", "times"));
}

proptest! {
    /// What is written for a user or a role is what is read.
    #[test]
    fn p000_1_user_config_persistence(
        tokens in 1u32..1_000_000,
        burst in 1u32..1_000_000,
        role in "[a-z]{1,12}",
        times in 1u32..100,
        priority: i32,
    ) {
        let rule = Rule::always()
            .by(By::User)
            .quota(Quota::per_hour(tokens).burst(burst))
            .role(role, times)
            .priority(priority);
        let rules = rules().rule("one more", rule);
        let written = serde_json::to_string(&rules).expect("plain data");
        prop_assert_eq!(serde_json::from_str::<Rules>(&written).expect("as written"), rules);
    }
}
