//! Which rules apply, what they charge whom, and what changes at run time.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use pm_core::{Clock, Identity, ManualTime};
use pm_ratelimit::{
    Because, By, DigestKey, Limiter, LimiterBuilder, MemoryStore, MemoryUserQuotas, Multiplier, Op,
    PolicyName, Quota, Rule, Rules, STANDARD_ROLES, Stage, Subject, User, Verdict,
};
use proptest::prelude::*;

const USER: PolicyName = PolicyName::from_static("user");

fn build(builder: LimiterBuilder) -> (Limiter, ManualTime) {
    let (clock, time) = Clock::manual();
    let limiter = builder.clock(clock).build().expect("valid rules");
    (limiter, time)
}

fn daily(tokens: u32) -> Quota {
    Quota::per_day(tokens)
}

fn by_user(quota: Quota) -> Rules {
    Rules::new().rule("user", Rule::always().by(By::User).quota(quota))
}

fn ask(limiter: &Limiter, subject: &Subject<'_>, op: impl Into<Op<'static>>) -> Verdict {
    limiter.try_check(subject, op).expect("it never waits")
}

/// How many of `tries` are admitted.
fn admitted(limiter: &Limiter, subject: &Subject<'_>, tries: u32) -> u32 {
    (0..tries)
        .map(|_| u32::from(ask(limiter, subject, 1).is_allowed()))
        .sum()
}

fn client() -> IpAddr {
    [192, 0, 2, 1].into()
}

fn applying(limiter: &Limiter, op: Op<'_>) -> Vec<String> {
    let subject = Subject::user("ada").client(client());
    let explanation = limiter.explain(&subject, op);
    explanation
        .applying()
        .map(|rule| rule.rule().to_string())
        .collect()
}

#[test]
fn the_first_fault_is_named_with_rule_and_field() {
    let rule = || Rule::always().quota(daily(5));
    for (rules, name, field) in [
        (Rules::new().rule("", rule()), "", "name"),
        (Rules::new().rule("ü", rule()), "ü", "name"),
        (
            Rules::new().rule("a", rule()).rule("a", rule()),
            "a",
            "name",
        ),
        (Rules::new().rule("a", Rule::always()), "a", "quota"),
        (
            Rules::new().rule("a", Rule::on("a b").quota(daily(1))),
            "a",
            "on",
        ),
        (
            Rules::new().rule("a", Rule::on("/{*r}/b").quota(daily(1))),
            "a",
            "on",
        ),
        (Rules::new().rule("a", rule().cost(0)), "a", "cost"),
        (Rules::new().rule("a", rule().cost(6)), "a", "cost"),
        (Rules::new().rule("a", rule().leased(0)), "a", "leased"),
        (Rules::new().rule("a", rule().leased(6)), "a", "leased"),
        (
            Rules::new().rule("a", rule().by(By::Custom(String::new()))),
            "a",
            "by",
        ),
        (
            Rules::new().rule("a", rule().by(By::Client).role("admin", 5)),
            "a",
            "roles",
        ),
        (
            Rules::new().rule("a", rule().by(By::User).role("admin", 0)),
            "a",
            "roles",
        ),
        (
            Rules::new().rule("a", rule().by(By::User).role("x", 1).role("X", 2)),
            "a",
            "roles",
        ),
        (
            Rules::new().rule("a", rule().by(By::User).role("x", u32::MAX)),
            "a",
            "roles",
        ),
    ] {
        let error = Limiter::builder(rules).build().expect_err(field);
        assert_eq!((error.rule(), error.field()), (name, field));
        let message = error.to_string();
        assert!(
            message.starts_with(&format!("rule {name:?}, field `{field}`: ")),
            "{message}"
        );
    }
}

#[test]
fn a_stage_has_room_for_eight_rules_per_request() {
    let always = |count| {
        (0..count).fold(Rules::new(), |rules, number| {
            rules.rule(format!("rule {number}"), Rule::always().quota(daily(1)))
        })
    };
    assert!(Limiter::builder(always(8)).build().is_ok());
    let error = Limiter::builder(always(9)).build().expect_err("nine");
    assert_eq!(error.field(), "stage");
    let one_more = always(8).rule("login", Rule::on("/login").quota(daily(1)));
    assert!(Limiter::builder(one_more).build().is_err());
    let elsewhere = always(8).rule(
        "login",
        Rule::on("/login").quota(daily(1)).stage(Stage::Edge),
    );
    assert!(Limiter::builder(elsewhere).build().is_ok());
}

#[test]
fn one_rule_about_the_path_applies_and_all_that_are_always_there() {
    let rule = |pattern: &str| Rule::on(pattern).quota(daily(9));
    let (limiter, _) = build(Limiter::builder(
        Rules::new()
            .rule("all", Rule::always().quota(daily(9)))
            .rule("all users", Rule::always().by(By::User).quota(daily(9)))
            .rule("edge", Rule::always().by(By::Client).quota(daily(9)))
            .rule("id", rule("/a/{id}"))
            .rule("name", rule("/a/{name}"))
            .rule("get", rule("GET /a/{id}"))
            .rule("me", rule("/a/me"))
            .rule("rest", rule("/a/{*rest}"))
            .rule("vip", rule("/vip/{*rest}").priority(1))
            .rule("exact", rule("/vip/a/b"))
            .rule("update", rule("task.update"))
            .rule("task", rule("task.*")),
    ));
    for (method, path, expected) in [
        (Method::GET, "/a/me", "me"),
        (Method::GET, "/a/7", "get"),
        (Method::HEAD, "/a/7", "get"),
        (Method::PUT, "/a/7", "id"),
        (Method::PUT, "/a/7/8", "rest"),
        (Method::PUT, "//a/%37/", "id"),
        (Method::GET, "/vip/a/b", "vip"),
    ] {
        let op = Op::request(&method, path).expect("a path");
        assert_eq!(
            applying(&limiter, op),
            [expected, "all", "all users"],
            "{method} {path}"
        );
    }
    for (operation, expected) in [
        ("task.update", &["update", "all", "all users"][..]),
        ("task.delete", &["task", "all", "all users"]),
        ("task", &["all", "all users"]),
        ("other.update", &["all", "all users"]),
    ] {
        let mut found = applying(&limiter, Op::new(operation));
        found.sort_by_key(|name| name.starts_with("all"));
        assert_eq!(found, expected, "{operation}");
    }
    assert_eq!(applying(&limiter, Op::from(1).stage(Stage::Edge)), ["edge"]);
}

#[test]
fn an_explanation_says_why() {
    let (limiter, _) = build(Limiter::builder(
        Rules::new()
            .rule(
                "path",
                Rule::on("/a").by(By::User).quota(daily(9)).role("admin", 5),
            )
            .rule("rest", Rule::on("/{*rest}").quota(daily(9)).shadow())
            .rule("key", Rule::always().by(By::ApiKey).quota(daily(9)))
            .rule("edge", Rule::always().by(By::Client).quota(daily(9))),
    ));
    let admin = Identity::new("ada").with_roles(["ADMIN"]);
    let op = Op::request(&Method::GET, "/a").expect("a path");
    let explanation = limiter.explain(&Subject::identity(&admin), op);
    let because = |name: &str| {
        let mut rules = explanation.rules().iter();
        rules
            .find(|rule| rule.rule().as_str() == name)
            .expect(name)
            .because()
            .clone()
    };
    assert_eq!(because("path"), Because::MostSpecific);
    assert_eq!(
        because("rest"),
        Because::Beaten(PolicyName::from_static("path"))
    );
    assert_eq!(because("key"), Because::Unidentified);
    assert_eq!(because("edge"), Because::Elsewhere);
    assert_eq!(
        explanation.to_string(),
        "\"path\" applies: it is the most specific one that matches, 45/day as admin\n\
         \"rest\" does not apply: \"path\" goes before it, on trial\n\
         \"edge\" does not apply: it is about something else\n\
         \"key\" does not apply: whose bucket it would charge is not known\n"
    );
}

#[test]
fn rules_of_a_stage_are_charged_all_or_none() {
    // axum-governor's stack, the union of rate-limiter-flexible (#280), gubernator (#45) and
    // Envoy's service: the first stays charged when the second refuses.
    let (limiter, _) = build(Limiter::builder(
        by_user(daily(3)).rule(
            "all",
            Rule::always()
                .by(By::Everyone)
                .quota(daily(4))
                .stage(Stage::Identified),
        ),
    ));
    let (ada, bob) = (Subject::user("ada"), Subject::user("bob"));
    assert_eq!(admitted(&limiter, &ada, 10), 3);
    // Ada's seven refusals took nothing of what all share.
    assert_eq!(admitted(&limiter, &bob, 10), 1);
    let Verdict::Refused(refused) = ask(&limiter, &bob, 1) else {
        panic!("allowed")
    };
    assert_eq!(refused.policy().map(PolicyName::as_str), Some("all"));
    assert_eq!(refused.remaining(), 0);
}

#[test]
fn the_longest_wait_is_told_and_none_for_never() {
    let (limiter, _) = build(Limiter::builder(
        by_user(Quota::per_minute(6).burst(1)).rule(
            "slow",
            Rule::always()
                .by(By::User)
                .quota(Quota::per_minute(1))
                .cost(1),
        ),
    ));
    let ada = Subject::user("ada");
    let Verdict::Allowed(allowed) = ask(&limiter, &ada, 1) else {
        panic!("refused")
    };
    assert_eq!(
        (allowed.remaining(), allowed.reset_after()),
        (0, Duration::from_secs(60))
    );
    let Verdict::Refused(refused) = ask(&limiter, &ada, 1) else {
        panic!("allowed")
    };
    assert_eq!(refused.retry_after(), Duration::from_secs(60));
    assert_eq!(refused.policy().map(PolicyName::as_str), Some("slow"));
    let Verdict::Never(never) = ask(&limiter, &ada, 2) else {
        panic!("not never")
    };
    assert_eq!((never.cost(), never.capacity()), (2, 1));
}

#[test]
fn costs_multiply_and_a_rule_on_trial_refuses_nobody() {
    let (limiter, _) = build(Limiter::builder(
        by_user(daily(100)).rule(
            "trial",
            Rule::on("task.*")
                .by(By::User)
                .quota(daily(9))
                .cost(2)
                .shadow(),
        ),
    ));
    let ada = Subject::user("ada");
    for (left, would) in [(97, 0), (94, 1), (91, 2)] {
        let Verdict::Allowed(allowed) = ask(&limiter, &ada, Op::new("task.update").cost(3)) else {
            panic!("refused")
        };
        assert_eq!(allowed.remaining(), left);
        assert_eq!(limiter.stats().shadow_refused, would);
    }
}

#[test]
fn a_rule_by_somebody_unknown_does_not_apply_and_is_counted() {
    let (limiter, _) = build(Limiter::builder(by_user(daily(1))));
    assert_eq!(admitted(&limiter, &Subject::at(client()), 5), 5);
    assert_eq!(limiter.stats().unidentified, 5);
    let Verdict::Allowed(allowed) = ask(&limiter, &Subject::new(), 1) else {
        panic!("refused")
    };
    assert_eq!((allowed.remaining(), allowed.degraded()), (u32::MAX, false));
}

#[test]
fn processes_with_one_key_share_buckets_and_others_do_not() {
    let store = Arc::new(MemoryStore::bounded(100));
    let limiter = |key: u8| {
        let builder = Limiter::builder(by_user(daily(2))).shared_store(store.clone());
        build(builder.digest_key(DigestKey::new([key; 16]))).0
    };
    let ada = Subject::user("ada");
    assert_eq!(admitted(&limiter(1), &ada, 1), 1);
    assert_eq!(admitted(&limiter(1), &ada, 5), 1);
    assert_eq!(admitted(&limiter(2), &ada, 5), 2);
}

#[test]
fn a_reload_keeps_what_is_owed() {
    // governor #39: swapping the limiter hands out a fresh burst. axum-limit has the quota in the
    // key, so that every change resets everybody. limitador #64 counts twice after a reload.
    let (limiter, time) = build(Limiter::builder(by_user(Quota::per_hour(100))));
    let ada = Subject::user("ada");
    assert_eq!(admitted(&limiter, &ada, 60), 60);
    let layer_of_before = limiter.clone();
    limiter
        .reload(by_user(Quota::per_hour(80)))
        .expect("valid rules");
    assert_eq!(admitted(&layer_of_before, &ada, 100), 20);
    limiter
        .reload(by_user(Quota::per_minute(60).burst(10)))
        .expect("valid rules");
    assert_eq!(
        admitted(&limiter, &ada, 10),
        0,
        "it owes no more than the new burst"
    );
    time.advance(Duration::from_secs(3));
    assert_eq!(admitted(&limiter, &ada, 10), 3);
    limiter
        .reload(by_user(Quota::per_minute(60).burst(30)))
        .expect("valid rules");
    assert_eq!(admitted(&limiter, &ada, 100), 20);
}

#[test]
fn rules_that_are_not_valid_change_nothing() {
    // limitador ignores an invalid file without a word about where the fault is.
    let (limiter, _) = build(Limiter::builder(by_user(daily(1))));
    let before = limiter.rules();
    let invalid = by_user(daily(100)).rule("login", Rule::on("login page").quota(daily(1)));
    let error = limiter.reload(invalid).expect_err("invalid");
    assert_eq!((error.rule(), error.field()), ("login", "on"));
    assert_eq!(limiter.rules(), before);
    assert_eq!(admitted(&limiter, &Subject::user("ada"), 5), 1);
}

#[test]
fn a_promotion_keeps_what_is_owed_and_two_roles_are_not_two_buckets() {
    let rules = Rules::new().rule(
        "user",
        Rule::always()
            .by(By::User)
            .quota(daily(10))
            .roles(STANDARD_ROLES),
    );
    let (limiter, _) = build(Limiter::builder(rules));
    let ada = Subject::user("ada");
    assert_eq!(admitted(&limiter, &ada, 20), 10);
    assert_eq!(admitted(&limiter, &ada.roles(&["Manager"]), 50), 20);
    assert_eq!(
        admitted(&limiter, &ada.roles(&["viewer", "ADMIN", "manager"]), 100),
        20
    );
    for _ in 0..10 {
        assert_eq!(admitted(&limiter, &ada, 1), 0);
        assert_eq!(admitted(&limiter, &ada.roles(&["admin"]), 1), 0);
    }
}

/// With a store that is made quickly.
fn small(rules: Rules) -> LimiterBuilder {
    Limiter::builder(rules).store(MemoryStore::bounded(16))
}

fn patterns() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        3 => Just("a".to_owned()),
        2 => Just("b".to_owned()),
        2 => Just("{x}".to_owned()),
        1 => Just("{y}".to_owned()),
    ];
    let method = prop_oneof![Just(""), Just("GET "), Just("PUT "), Just("HEAD ")];
    (
        method,
        proptest::collection::vec(segment, 0..4),
        any::<bool>(),
    )
        .prop_map(|(method, segments, rest)| {
            let mut pattern = method.to_owned();
            for segment in segments
                .iter()
                .map(String::as_str)
                .chain(rest.then_some("{*r}"))
            {
                pattern.push('/');
                pattern.push_str(segment);
            }
            if pattern.ends_with(' ') || pattern.is_empty() {
                pattern.push('/');
            }
            pattern
        })
}

/// Tried one by one: a pattern matches if each of its segments does.
fn matches(pattern: &str, method: &Method, path: &[&str]) -> bool {
    let (wanted, pattern) = pattern.split_once(' ').unwrap_or(("", pattern));
    if !(wanted.is_empty()
        || wanted == method.as_str()
        || (wanted == "GET" && *method == Method::HEAD))
    {
        return false;
    }
    let mut path = path.iter();
    for segment in pattern.split('/').filter(|segment| !segment.is_empty()) {
        match (segment, path.next()) {
            (_, None) => return false,
            ("{*r}", Some(_)) => return true,
            (segment, Some(there)) if segment.starts_with('{') || segment == *there => {}
            _ => return false,
        }
    }
    path.next().is_none()
}

/// Smaller is better.
fn rank(pattern: &str, priority: i32) -> (i32, Vec<u8>, u8) {
    let (method, path) = pattern.split_once(' ').unwrap_or(("", pattern));
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    let kinds = segments.map(|segment| match segment {
        "{*r}" => 2,
        _ if segment.starts_with('{') => 1,
        _ => 0,
    });
    let method = match method {
        "" => 2,
        "GET" => 1,
        _ => 0,
    };
    (-priority, kinds.collect(), method)
}

proptest! {
    /// Priority, then the most specific, an exact method over any: the same as trying all patterns
    /// one by one and sorting those that match.
    #[test]
    fn p000_4_rule_matching_specificity(
        rules in proptest::collection::vec((patterns(), -1i32..2), 1..12),
        method in prop_oneof![Just(Method::GET), Just(Method::PUT), Just(Method::HEAD)],
        path in proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("c")], 0..5),
    ) {
        let named = rules.iter().enumerate().fold(Rules::new(), |named, (number, (on, priority))| {
            let rule = Rule::on(on).quota(daily(1)).priority(*priority);
            named.rule(format!("{number:02}"), rule)
        });
        let (limiter, _) = build(small(named));
        let expected = rules
            .iter()
            .enumerate()
            .filter(|(_, (pattern, _))| matches(pattern, &method, &path))
            .min_by_key(|(number, (pattern, priority))| (rank(pattern, *priority), *number))
            .map(|(number, _)| format!("{number:02}"));
        let text = format!("/{}", path.join("/"));
        let op = Op::request(&method, &text).expect("a path");
        prop_assert_eq!(applying(&limiter, op), Vec::from_iter(expected));
        // All that match are found, and all others are said to be about something else.
        let explanation = limiter.explain(&Subject::user("ada"), op);
        for rule in explanation.rules() {
            let number: usize = rule.rule().as_str().parse().expect("a number");
            let found = *rule.because() != Because::Elsewhere;
            prop_assert_eq!(found, matches(&rules[number].0, &method, &path));
        }
    }

    /// A user with a quota of their own is held to it, whatever their role, others to the rule's.
    #[test]
    fn p000_2_user_specific_application(
        base in 1u32..20,
        own in proptest::collection::btree_map(0u8..4, 1u32..20, 0..4),
        changed in 1u32..20,
    ) {
        let quotas = Arc::new(MemoryUserQuotas::new());
        let builder = small(by_user(daily(base))).shared_user_quotas(quotas.clone());
        let (limiter, _) = build(builder);
        let names = ["ada", "bob", "eve", "joe"];
        let users = names.map(|name| Identity::new(name).with_tenant("acme").with_roles(["admin"]));
        for (user, tokens) in &own {
            quotas.assign(&USER, User::from(&users[usize::from(*user)]), daily(*tokens));
        }
        for (number, user) in (0u8..).zip(&users) {
            let expected = own.get(&number).copied().unwrap_or(base);
            prop_assert_eq!(admitted(&limiter, &Subject::identity(user), 50), expected);
            // A change counts at once, and what was taken stays taken.
            quotas.assign(&USER, User::from(user), daily(changed));
            let more = changed.saturating_sub(expected);
            prop_assert_eq!(admitted(&limiter, &Subject::identity(user), 50), more);
            quotas.withdraw(&USER, User::from(user));
            let owed = expected.min(changed).max(expected.min(changed) + more);
            let rest = base.saturating_sub(owed);
            prop_assert_eq!(admitted(&limiter, &Subject::identity(user), 50), rest);
        }
    }

    /// Burst and rate: five times for ADMIN, three times for MANAGER, once for all others, however
    /// it is written; the largest counts.
    #[test]
    fn p004_29_role_based_limits(
        tokens in 1u32..50,
        burst in 1u32..20,
        role in prop_oneof![
            Just(("ADMIN", 5u32)), Just(("admin", 5)), Just(("Manager", 3)), Just(("MANAGER", 3)),
            Just(("MEMBER", 1)), Just(("", 1)),
        ],
        also_manager in any::<bool>(),
    ) {
        let quota = Quota::per_minute(tokens).burst(burst);
        let rule = Rule::always().by(By::User).quota(quota).roles(STANDARD_ROLES);
        let (limiter, time) = build(small(Rules::new().rule("user", rule)));
        let (name, mut times) = role;
        let mut roles = vec![name];
        if also_manager {
            roles.push("manager");
            times = times.max(3);
        }
        let ada = Identity::new("ada").with_roles(roles);
        let subject = Subject::identity(&ada);
        prop_assert_eq!(admitted(&limiter, &subject, 200), times * burst);
        // The rate, too: as many again as come back in the time of one burst.
        time.advance(Duration::from_secs(60) / tokens * burst);
        let back = admitted(&limiter, &subject, 200);
        prop_assert!(back == times * burst || back + 1 == times * burst, "{back}");
        prop_assert_eq!(admitted(&limiter, &Subject::user("bob"), 200), burst);
    }

    /// A multiplier is a fraction, of burst and rate, rounded down to whole tokens.
    #[test]
    fn a_role_may_have_a_fraction(times in 1u32..9, of in 1u32..9, burst in 9u32..40) {
        let multiplier = Multiplier::ratio(times, NonZeroU32::new(of).expect("at least 1"));
        let rule = Rule::always().by(By::User).quota(daily(burst)).role("r", multiplier);
        let (limiter, _) = build(small(Rules::new().rule("user", rule)));
        let subject = Subject::user("ada").roles(&["R"]);
        prop_assert_eq!(admitted(&limiter, &subject, 400), burst * times / of);
    }
}
