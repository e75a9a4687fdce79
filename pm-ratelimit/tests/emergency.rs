//! Emergencies, as a client sees them, and what nobody gains by them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use pm_core::{Clock, Identity, ManualTime, PeerAddr, ResponseBody};
use pm_ratelimit::emergency::{Answer, Emergency, EmergencyBuilder, Profile, Reduction};
use pm_ratelimit::{
    By, Limiter, LimiterBuilder, MemoryUserQuotas, Op, PolicyName, Quota, RateLimitLayer, Rule,
    Rules, Stage, Subject, User, Verdict, Violations,
};
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};

const HOUR: Duration = Duration::from_secs(3_600);

/// One token a second, so many at once.
fn by_user(burst: u32) -> Rule {
    let quota = Quota::per_second(1).burst(burst);
    Rule::always().by(By::User).quota(quota)
}

fn storm(profile: Profile) -> EmergencyBuilder {
    Emergency::builder().profile("storm", profile)
}

/// With rules that a profile is applied to.
fn emergency(rules: Rules, profile: Profile) -> (Limiter, Emergency, ManualTime) {
    build(Limiter::builder(rules), profile)
}

fn build(limiter: LimiterBuilder, profile: Profile) -> (Limiter, Emergency, ManualTime) {
    let (clock, time) = Clock::manual();
    let emergency = storm(profile).clock(clock.clone()).build().expect("valid");
    let limiter = limiter.emergency(emergency.clone()).clock(clock).build();
    (limiter.expect("valid rules"), emergency, time)
}

fn enter(emergency: &Emergency) {
    let declared = emergency.enter("storm", HOUR, "ada", "a test");
    declared.expect("it is there");
}

fn check(limiter: &Limiter, subject: &Subject<'_>, cost: u32) -> Verdict {
    limiter.try_check(subject, cost).expect("in memory")
}

/// How often one token is there.
fn drain(limiter: &Limiter, subject: &Subject<'_>) -> u32 {
    let mut taken = 0;
    while check(limiter, subject, 1).is_allowed() {
        taken += 1;
    }
    taken
}

#[test]
fn a_named_profile_makes_less_of_the_same_rules_by_hand() {
    let rules = Rules::new().rule("user", by_user(50).role("admin", 2));
    let (limiter, emergency, time) = emergency(rules, Profile::scale(1, 5));
    let (ada, root) = (
        Subject::user("ada"),
        Subject::user("root").roles(&["admin"]),
    );
    enter(&emergency);
    assert_eq!(drain(&limiter, &ada), 10, "a fifth of the burst");
    assert_eq!(drain(&limiter, &root), 20, "roles keep their part");
    // 1/5 of one token a second is rounded down to whole tokens for a period, but at least to one.
    time.advance(Duration::from_secs(3));
    assert_eq!(drain(&limiter, &ada), 3);

    emergency.leave("ada");
    assert_eq!(drain(&limiter, &ada), 40, "what it had not owed before");
}

#[test]
fn rules_and_roles_are_exempt_or_reduced_in_their_own_way() {
    let rule = |tokens| by_user(tokens).stage(Stage::Identified);
    let rules = Rules::new()
        .rule("plain", rule(100))
        .rule("login", rule(100))
        .rule("slow", rule(100))
        .rule("other", rule(100));
    let profile = Profile::scale(1, 2)
        .rule("login", Reduction::Exempt)
        .rule("slow", Quota::per_minute(7))
        .rule("other", Quota::per_second(1_000))
        .rule("no rule of this name", Reduction::Exempt)
        .exempt_role("Admin");
    let (limiter, emergency, _) = emergency(rules, profile);
    enter(&emergency);
    let quotas = |subject: &Subject<'_>| -> Vec<(String, String, bool)> {
        let explanation = limiter.explain(subject, 1);
        let mut quotas: Vec<_> = (explanation.rules().iter())
            .map(|rule| {
                (
                    rule.rule().to_string(),
                    rule.quota().to_string(),
                    rule.is_reduced(),
                )
            })
            .collect();
        quotas.sort();
        quotas
    };
    let whole = "1/second burst 100";
    let expected = [
        ("login", whole, false),
        ("other", whole, false), // a larger quota is no reduction
        ("plain", "1/second burst 50", true),
        ("slow", "7/minute", true),
    ];
    let expected = expected.map(|(name, quota, less)| (name.to_owned(), quota.to_owned(), less));
    assert_eq!(quotas(&Subject::user("ada")), expected);
    assert_eq!(drain(&limiter, &Subject::user("ada")), 7);

    let admin = Subject::user("root").roles(&["ADMIN"]);
    assert!(
        quotas(&admin)
            .iter()
            .all(|(_, quota, less)| quota == whole && !less)
    );
    assert_eq!(limiter.explain(&admin, 1).emergency(), None);
    assert_eq!(
        limiter.explain(&Subject::user("ada"), 1).emergency(),
        Some("storm")
    );
    assert_eq!(drain(&limiter, &admin), 100);
}

#[test]
fn extra_rules_come_on_top_and_go_with_it() {
    let rules = Rules::new().rule("user", by_user(50));
    let everyone = Rule::always().by(By::Everyone).quota(Quota::per_second(3));
    let profile = Profile::new().extra("everyone", everyone.clone().stage(Stage::Identified));
    let (limiter, emergency, _) = emergency(rules, profile.exempt_role("admin"));
    let (ada, bob) = (Subject::user("ada"), Subject::user("bob"));
    assert_eq!(limiter.explain(&ada, 1).rules().len(), 1);
    enter(&emergency);
    assert_eq!(limiter.explain(&ada, 1).applying().count(), 2);
    assert_eq!(drain(&limiter, &ada) + drain(&limiter, &bob), 3);
    assert_eq!(
        drain(&limiter, &Subject::user("root").roles(&["admin"])),
        50
    );
    emergency.leave("ada");
    assert_eq!(drain(&limiter, &ada) + drain(&limiter, &bob), 97);

    // Beside the others, they are checked as rules are.
    let build = |rules: Rules, name: &str| {
        let emergency = storm(Profile::new().extra(name, everyone.clone())).build();
        let limiter = Limiter::builder(rules).emergency(emergency.expect("valid"));
        limiter.build().expect_err("it cannot be")
    };
    let taken = build(Rules::new().rule("user", by_user(50)), "user");
    assert_eq!((taken.rule(), taken.field()), ("user", "name"));
    let eight = (0..8).fold(Rules::new(), |rules, number| {
        rules.rule(format!("{number}"), everyone.clone())
    });
    let ninth = build(eight, "ninth");
    assert_eq!(ninth.field(), "stage");
}

#[test]
fn users_with_a_quota_of_their_own_have_less_of_it() {
    let quotas = MemoryUserQuotas::new();
    let (rule, ada) = (PolicyName::from_static("user"), Identity::new("ada"));
    quotas.assign(&rule, User::from(&ada), Quota::per_second(1).burst(200));
    let limiter = Limiter::builder(Rules::new().rule("user", by_user(10))).user_quotas(quotas);
    let (limiter, emergency, _) = build(limiter, Profile::scale(1, 4));
    enter(&emergency);
    assert_eq!(drain(&limiter, &Subject::user("ada")), 50);
    emergency.leave("ada");
    assert_eq!(drain(&limiter, &Subject::user("ada")), 150);
}

/// An operation that the normal quota has room for waits for a full bucket.
#[test]
fn what_fits_at_other_times_is_not_refused_for_ever() {
    let rules = Rules::new().rule("user", by_user(50));
    let (limiter, emergency, time) = emergency(rules, Profile::scale(1, 10));
    let ada = Subject::user("ada");
    enter(&emergency);
    assert!(check(&limiter, &ada, 50).is_allowed());
    let Verdict::Refused(refused) = check(&limiter, &ada, 50) else {
        panic!("it may have to wait, but not for ever");
    };
    time.advance(refused.retry_after());
    assert!(check(&limiter, &ada, 50).is_allowed());
    assert!(
        matches!(check(&limiter, &ada, 51), Verdict::Never(_)),
        "it never fits anyway"
    );
}

#[test]
fn it_ends_by_itself_without_anybody_running_it() {
    let rules = Rules::new().rule("user", by_user(50));
    let (limiter, emergency, time) = emergency(rules, Profile::scale(1, 50));
    enter(&emergency);
    time.advance(HOUR - Duration::from_nanos(1));
    assert_eq!(drain(&limiter, &Subject::user("ada")), 1);
    time.advance(Duration::from_nanos(1));
    assert_eq!(drain(&limiter, &Subject::user("ada")), 49);
    assert_eq!(emergency.state(), None);
}

/// A gate that asks more callers for a proof that they are human.
#[test]
fn a_hook_is_told_when_it_begins_and_when_it_is_over() {
    let challenged = Arc::new(AtomicU32::new(5));
    let (clock, time) = Clock::manual();
    let emergency = storm(Profile::scale(1, 2))
        .on_change({
            let challenged = Arc::clone(&challenged);
            move |declared| {
                let percent = if declared.is_some() { 100 } else { 5 };
                challenged.store(percent, Ordering::Relaxed);
            }
        })
        .clock(clock.clone())
        .build()
        .expect("valid");
    let limiter = Limiter::builder(Rules::new().rule("user", by_user(50)))
        .emergency(emergency.clone())
        .clock(clock)
        .build()
        .expect("valid rules");
    enter(&emergency);
    assert_eq!(challenged.load(Ordering::Relaxed), 100);
    time.advance(HOUR);
    assert!(check(&limiter, &Subject::user("ada"), 1).is_allowed());
    assert_eq!(
        challenged.load(Ordering::Relaxed),
        5,
        "the first decision tells it"
    );
}

type Answered = Response<ResponseBody<Full<Bytes>>>;

async fn send(layer: &RateLimitLayer, grpc: bool) -> Answered {
    let hello = service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    });
    let peer = SocketAddr::new([192, 0, 2, 1].into(), 1);
    let mut request = Request::get("/").extension(PeerAddr(peer));
    if grpc {
        request = request.header("content-type", "application/grpc");
    }
    let request = request.body(()).expect("a request");
    layer
        .layer(hello)
        .oneshot(request)
        .await
        .expect("infallible")
}

async fn problem_type(answer: Answered) -> String {
    let body = answer.into_body().collect().await.expect("infallible");
    let problem: serde_json::Value = serde_json::from_slice(&body.to_bytes()).expect("JSON");
    problem["type"].as_str().expect("a type").to_owned()
}

/// The problem types of the draft: `quota-exceeded` with 429, `temporary-reduced-capacity` with 503.
#[tokio::test]
async fn refusals_are_503_temporary_reduced_capacity_where_configured() {
    let by_client = |burst| {
        let quota = Quota::per_second(1).burst(burst);
        Rule::always().by(By::Client).quota(quota)
    };
    for (answer, status, kind, told) in [
        (Answer::QuotaExceeded, 429, "#quota-exceeded", 2),
        (
            Answer::TemporaryReducedCapacity,
            503,
            "#temporary-reduced-capacity",
            0,
        ),
    ] {
        let violations = Violations::builder().build();
        let rules = Rules::new()
            .rule("all", by_client(10))
            .rule("exempt", by_client(12));
        let limiter = Limiter::builder(rules).observer(violations.clone());
        let profile = Profile::scale(1, 10)
            .rule("exempt", Reduction::Exempt)
            .answering(answer);
        let (limiter, emergency, _) = build(limiter, profile);
        let layer = limiter.layer(Stage::Edge);
        enter(&emergency);
        assert_eq!(send(&layer, false).await.status(), StatusCode::OK);
        let refused = send(&layer, false).await;
        assert_eq!(refused.status(), status);
        assert_eq!(refused.headers()["retry-after"], "1");
        assert_eq!(
            refused.headers()["ratelimit"],
            r#""all";r=0;t=1, "exempt";r=11;t=1"#
        );
        assert!(problem_type(refused).await.ends_with(kind));
        let grpc = send(&layer, true).await;
        let expected = if status == 503 { "14" } else { "8" };
        assert_eq!(grpc.headers()["grpc-status"], expected);
        assert_eq!(
            violations.stats().seen,
            told,
            "it is not the caller's doing"
        );

        let Verdict::Refused(refused) = check_client(&limiter) else {
            panic!("there is no token left");
        };
        assert_eq!(refused.is_reduced_capacity(), status == 503);
    }
}

/// At the edge, the same client as that of the requests.
fn check_client(limiter: &Limiter) -> Verdict {
    let client = Subject::at(std::net::IpAddr::from([192, 0, 2, 1]));
    let edge = Op::from(1).stage(Stage::Edge);
    limiter.try_check(&client, edge).expect("in memory")
}

/// The normal rules would refuse it, too: that is not for want of capacity.
#[test]
fn a_quota_that_is_as_it_always_was_refuses_as_it_always_does() {
    let rules = Rules::new()
        .rule("exempt", by_user(5))
        .rule("user", by_user(50));
    let profile = Profile::scale(1, 10)
        .rule("exempt", Reduction::Exempt)
        .answering(Answer::TemporaryReducedCapacity);
    let (limiter, emergency, _) = emergency(rules, profile);
    enter(&emergency);
    let ada = Subject::user("ada");
    assert_eq!(drain(&limiter, &ada), 5);
    let Verdict::Refused(refused) = check(&limiter, &ada, 1) else {
        panic!("there is no token left");
    };
    assert!(!refused.is_reduced_capacity(), "both refuse");
}

#[test]
fn a_reload_counts_for_the_rules_and_for_what_the_profile_makes_of_them() {
    let rules = |burst| Rules::new().rule("user", by_user(burst));
    let (limiter, emergency, _) = emergency(rules(50), Profile::scale(1, 5));
    let ada = Subject::user("ada");
    enter(&emergency);
    assert_eq!(drain(&limiter, &ada), 10);
    limiter.reload(rules(100)).expect("valid rules");
    assert_eq!(drain(&limiter, &ada), 10, "a fifth of the new burst");
    assert_eq!(limiter.rules(), rules(100), "as they are without");
    assert!(emergency.state().is_some());
    emergency.leave("ada");
    assert_eq!(drain(&limiter, &ada), 80);
}

/// The quotas that the policies of an answer state: both are always the same by one version.
fn stated<B>(answer: &Response<B>) -> [String; 2] {
    let policies = answer.headers().get_all("ratelimit-policy").iter();
    let quotas: Vec<String> = policies
        .flat_map(|value| value.to_str().expect("ASCII").split(", "))
        .map(|policy| policy.split_once(';').expect("a quota").1.to_owned())
        .collect();
    quotas.try_into().expect("two policies")
}

#[test]
fn under_load_every_request_is_decided_by_one_version_and_no_burst_is_handed_out() {
    const BURST: u32 = 10_000;
    let version = |rate: u32| {
        let quota = Quota::per_day(rate).burst(BURST);
        let rule = || Rule::always().by(By::Client).quota(quota);
        Rules::new().rule("left", rule()).rule("right", rule())
    };
    let (limiter, emergency, _) = emergency(version(10), Profile::scale(1, 2));
    let layer = limiter.layer(Stage::Edge);
    let (admitted, seen) = (AtomicU32::new(0), AtomicU32::new(0));
    let done = AtomicBool::new(false);
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let answer = runtime.expect("a runtime").block_on(send(&layer, false));
        let [left, right] = stated(&answer);
        assert_eq!(left, right, "decided by two versions");
        if answer.status() == StatusCode::OK {
            admitted.fetch_add(1, Ordering::Relaxed);
        }
        seen.fetch_add(1, Ordering::Relaxed);
    };
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    ask();
                }
            });
        }
        for change in 0..200_u32 {
            let before = seen.load(Ordering::Relaxed);
            match change % 4 {
                0 => enter(&emergency),
                1 => limiter
                    .reload(version(10 + change % 7))
                    .expect("valid rules"),
                2 => drop(emergency.leave("ada")),
                _ => limiter.reload(version(10)).expect("valid rules"),
            }
            while seen.load(Ordering::Relaxed) == before {
                thread::yield_now();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    while admitted.load(Ordering::Relaxed) < BURST && check_client(&limiter).is_allowed() {
        admitted.fetch_add(1, Ordering::Relaxed);
    }
    let admitted = admitted.into_inner();
    assert!(
        !check_client(&limiter).is_allowed(),
        "a burst was handed out"
    );
    // No time has passed. A token each change is what converting the debt may round away.
    assert!(
        admitted <= BURST && admitted + 400 >= BURST,
        "{admitted} were let in"
    );
}

/// What somebody does, or the clock, or whoever declares emergencies.
#[derive(Clone, Copy, Debug)]
enum Step {
    Ask { cost: u32, exempt: bool },
    Enter { profile: &'static str, seconds: u64 },
    Leave,
    Wait { millis: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1u32..30, any::<bool>()).prop_map(|(cost, exempt)| Step::Ask { cost, exempt }),
        2 => (prop_oneof![Just("storm"), Just("flood"), Just("drought")], 0u64..40)
            .prop_map(|(profile, seconds)| Step::Enter { profile, seconds }),
        1 => Just(Step::Leave),
        3 => (0u64..9_000).prop_map(|millis| Step::Wait { millis }),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    /// In any stretch of time no more is admitted than burst and rate of the normal rules, whatever is
    /// declared and left meanwhile; and at the moment of a change nobody has more than before.
    #[test]
    fn entering_and_leaving_hands_out_no_burst(
        tokens in 1u32..50,
        burst in 1u32..60,
        steps in steps(),
    ) {
        let quota = Quota::new(tokens, Duration::from_secs(10)).burst(burst);
        let rules = Rules::new().rule("user", Rule::always().by(By::User).quota(quota));
        let (clock, time) = Clock::manual();
        let emergency = storm(Profile::scale(1, 5).exempt_role("exempt"))
            .profile("flood", Profile::new().rule("user", Quota::new(1, Duration::from_secs(60)).burst(3)))
            .profile("drought", Profile::scale(2, 3))
            .clock(clock.clone())
            .build()
            .expect("valid");
        let limiter = Limiter::builder(rules)
            .emergency(emergency.clone())
            .clock(clock.clone())
            .build()
            .expect("valid rules");
        let subject = |exempt: bool| {
            let ada = Subject::user("ada");
            if exempt { ada.roles(&["exempt"]) } else { ada }
        };
        // What is left for one who is not exempt; asked for nothing.
        let left = || match check(&limiter, &subject(false), 0) {
            Verdict::Allowed(allowed) => allowed.remaining(),
            other => panic!("{other:?}"),
        };
        let mut admitted: Vec<(u64, u32)> = Vec::new();
        for step in steps {
            match step {
                Step::Ask { cost, exempt } => {
                    if check(&limiter, &subject(exempt), cost).is_allowed() {
                        let now = clock.now().as_nanos();
                        for from in 0..=admitted.len() {
                            let since = admitted.get(from).map_or(now, |(at, _)| *at);
                            let taken: u32 = admitted[from..].iter().map(|(_, cost)| cost).sum();
                            let back = (now - since) / quota.interval().as_nanos() as u64;
                            prop_assert!(
                                u64::from(taken + cost) <= u64::from(burst) + back,
                                "{} in {} ns", taken + cost, now - since
                            );
                        }
                        admitted.push((now, cost));
                    }
                }
                Step::Enter { profile, seconds } => {
                    let normal = emergency.state().is_none();
                    let before = left();
                    let lasting = Duration::from_secs(seconds);
                    emergency.enter(profile, lasting, "ada", "").expect("it is there");
                    if normal {
                        prop_assert!(left() <= before);
                    }
                }
                Step::Leave => {
                    // To enter and to leave at once changes nothing: not even what is rounded.
                    emergency.leave("ada");
                    let before = left();
                    emergency.enter("storm", HOUR, "ada", "").expect("it is there");
                    let _ = left();
                    emergency.leave("ada");
                    let after = left();
                    prop_assert!(after <= before && after + 1 >= before, "{after} of {before}");
                }
                Step::Wait { millis } => time.advance(Duration::from_millis(millis)),
            }
        }
    }
}
