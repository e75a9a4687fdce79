//! What a client sees, through a real stack.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use pm_core::{
    ClientIpLayer, Clock, ContextLayer, Identity, ManualTime, PeerAddr, ResponseBody, Tick,
    TrustedProxies,
};
use pm_ratelimit::{
    Charge, Charges, Decision, Error, Limiter, MemoryStore, OnFailure, PolicyName, Quota,
    RateLimitLayer, RateLimitStore, Reason, Subject, Verdict,
};
use proptest::prelude::*;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

type Answer = Response<ResponseBody<Full<Bytes>>>;

fn limiter(quota: Quota) -> (Limiter, ManualTime) {
    let (clock, time) = Clock::manual();
    let limiter = Limiter::new(quota)
        .with_name(PolicyName::from_static("api"))
        .with_clock(clock);
    (limiter, time)
}

async fn hello(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new("hello".into()))
}

fn from(addr: &str) -> Request<()> {
    let addr: IpAddr = addr.parse().expect(addr);
    let mut request = Request::new(());
    request
        .extensions_mut()
        .insert(PeerAddr(SocketAddr::new(addr, 1)));
    request
}

async fn send(layer: &RateLimitLayer, request: Request<()>) -> Answer {
    layer
        .layer(service_fn(hello))
        .oneshot(request)
        .await
        .expect("infallible")
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer
        .headers()
        .get(name)
        .map(|value| value.to_str().expect("ASCII"))
}

async fn text(answer: Answer) -> String {
    let bytes = answer
        .into_body()
        .collect()
        .await
        .expect("infallible")
        .to_bytes();
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[tokio::test]
async fn an_allowed_request_is_answered_with_what_is_left() {
    let (limiter, time) = limiter(Quota::per_minute(60).burst(3));
    let layer = RateLimitLayer::new(limiter);
    for (left, reset) in [(2, 1), (1, 2), (0, 3)] {
        let answer = send(&layer, from("192.0.2.1")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(
            header(&answer, "ratelimit-policy"),
            Some(r#""api";q=60;w=60"#)
        );
        assert_eq!(
            header(&answer, "ratelimit"),
            Some(format!(r#""api";r={left};t={reset}"#).as_str())
        );
        assert_eq!(header(&answer, "retry-after"), None);
        assert_eq!(text(answer).await, "hello");
    }
    time.advance(Duration::from_millis(1_500));
    let answer = send(&layer, from("192.0.2.1")).await;
    assert_eq!(header(&answer, "ratelimit"), Some(r#""api";r=0;t=3"#));
}

#[tokio::test]
async fn a_refused_request_is_answered_with_a_problem() {
    let (limiter, time) = limiter(Quota::per_minute(6).burst(1));
    let layer = RateLimitLayer::new(limiter);
    send(&layer, from("192.0.2.1")).await;
    time.advance(Duration::from_millis(7_900));

    let answer = send(&layer, from("192.0.2.1")).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        header(&answer, "content-type"),
        Some("application/problem+json")
    );
    assert_eq!(
        header(&answer, "cache-control"),
        Some("no-store"),
        "RFC 6585: never stored"
    );
    // 2.1 seconds are left. tower_governor and axum-governor round down.
    assert_eq!(header(&answer, "retry-after"), Some("3"));
    assert_eq!(header(&answer, "ratelimit"), Some(r#""api";r=0;t=3"#));
    assert_eq!(
        header(&answer, "ratelimit-policy"),
        Some(r#""api";q=6;w=60"#)
    );
    let problem: serde_json::Value = serde_json::from_str(&text(answer).await).expect("JSON");
    assert_eq!(
        problem["type"],
        "https://iana.org/assignments/http-problem-types#quota-exceeded"
    );
    assert_eq!(problem["status"], 429);
    assert_eq!(problem["violated-policies"], serde_json::json!(["api"]));

    time.advance(Duration::from_secs(3));
    assert_eq!(
        send(&layer, from("192.0.2.1")).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn retry_after_is_at_least_one() {
    // tower_governor #65 sends 0 for less than a second.
    let (limiter, _time) = limiter(Quota::per_second(1_000).burst(1));
    let layer = RateLimitLayer::new(limiter);
    send(&layer, from("192.0.2.1")).await;
    let answer = send(&layer, from("192.0.2.1")).await;
    assert_eq!(header(&answer, "retry-after"), Some("1"));
}

#[tokio::test]
async fn each_client_has_a_quota_of_its_own() {
    let (limiter, _time) = limiter(Quota::per_day(1));
    let layer = RateLimitLayer::new(limiter);
    for (addr, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.2", 200),
        ("192.0.2.1", 429),
        ("::ffff:192.0.2.1", 429),
        ("2001:db8:1:1::1", 200),
        ("2001:db8:1:1:5:6:7:8", 429),
        ("2001:db8:1:2::1", 200),
    ] {
        assert_eq!(send(&layer, from(addr)).await.status(), status, "{addr}");
    }
}

#[tokio::test]
async fn a_forged_header_is_no_way_out() {
    let (limiter, _time) = limiter(Quota::per_day(1));
    let proxies = TrustedProxies::cidrs(["10.0.0.0/8"]).expect("a valid block");
    let service = ServiceBuilder::new()
        .layer(ClientIpLayer::new(proxies))
        .layer(RateLimitLayer::new(limiter))
        .service_fn(hello);
    for (forged, status) in [("6.6.6.1", 200), ("6.6.6.2", 429), ("6.6.6.3", 429)] {
        let mut request = from("10.0.0.7");
        let chain = format!("{forged}, 203.0.113.9");
        request
            .headers_mut()
            .insert("x-forwarded-for", chain.parse().expect("valid"));
        let answer = service.clone().oneshot(request).await.expect("infallible");
        assert_eq!(answer.status(), status);
    }
}

#[tokio::test]
async fn unknown_clients_do_not_share_a_bucket_but_get_an_error() {
    let (limiter, _time) = limiter(Quota::per_day(1));
    let layer = RateLimitLayer::new(limiter);
    for _ in 0..3 {
        let answer = send(&layer, Request::new(())).await;
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(
            header(&answer, "content-type"),
            Some("application/problem+json")
        );
        assert_eq!(header(&answer, "retry-after"), None);
    }
}

#[tokio::test]
async fn the_problem_names_the_request() {
    let (limiter, _time) = limiter(Quota::per_day(1));
    let service = ServiceBuilder::new()
        .layer(ContextLayer::new(Clock::manual().0))
        .layer(RateLimitLayer::new(limiter))
        .service_fn(hello);
    for status in [200, 429] {
        let mut request = from("192.0.2.1");
        request
            .headers_mut()
            .insert("x-request-id", "r-1".parse().expect("valid"));
        let answer = service.clone().oneshot(request).await.expect("infallible");
        assert_eq!(answer.status(), status);
        assert_eq!(header(&answer, "x-request-id"), Some("r-1"));
        if status == 429 {
            assert!(text(answer).await.contains(r#""request_id":"r-1""#));
        }
    }
}

#[tokio::test]
async fn one_function_makes_every_refusal() {
    let (limiter, _time) = limiter(Quota::per_minute(6).burst(1));
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let layer = RateLimitLayer::new(limiter).on_refusal(move |refusal| {
        count.fetch_add(1, Ordering::Relaxed);
        let mut response = Response::new(Bytes::from(format!("{:?}", refusal.reason())));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
    });
    send(&layer, from("192.0.2.1")).await;
    let limited = send(&layer, from("192.0.2.1")).await;
    assert_eq!(limited.status(), StatusCode::IM_A_TEAPOT);
    assert_eq!(
        header(&limited, "retry-after"),
        Some("10"),
        "added if it is not there"
    );
    assert_eq!(header(&limited, "ratelimit"), Some(r#""api";r=0;t=10"#));
    assert_eq!(text(limited).await, "Limited");
    assert_eq!(
        text(send(&layer, Request::new(())).await).await,
        "UnknownClient"
    );
    assert_eq!(seen.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_retry_after_of_ones_own_is_kept() {
    let (limiter, _time) = limiter(Quota::per_minute(6).burst(1));
    let layer = RateLimitLayer::new(limiter).on_refusal(|refusal| {
        refusal
            .problem()
            .with_retry_after(Duration::from_secs(77))
            .into_response()
    });
    send(&layer, from("192.0.2.1")).await;
    let answer = send(&layer, from("192.0.2.1")).await;
    assert_eq!(
        answer
            .headers()
            .get_all("retry-after")
            .iter()
            .collect::<Vec<_>>(),
        ["77"]
    );
}

#[tokio::test]
async fn stacked_limits_are_one_list() {
    let (outer, _time) = limiter(Quota::per_minute(60));
    let inner = Limiter::new(Quota::per_hour(10)).with_name(PolicyName::from_static("search"));
    let service = ServiceBuilder::new()
        .layer(RateLimitLayer::new(outer))
        .layer(RateLimitLayer::new(inner))
        .service_fn(hello);
    let answer = service
        .oneshot(from("192.0.2.1"))
        .await
        .expect("infallible");
    let values = |name: &str| {
        let values = answer.headers().get_all(name).iter();
        values
            .map(|value| value.to_str().expect("ASCII").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        values("ratelimit-policy"),
        [r#""search";q=10;w=3600"#, r#""api";q=60;w=60"#]
    );
    assert_eq!(
        values("ratelimit"),
        [r#""search";r=9;t=360"#, r#""api";r=59;t=1"#]
    );
}

/// Answers after a while, as a store over the network does, or not at all.
#[derive(Debug)]
struct Remote {
    memory: Arc<MemoryStore>,
    down: bool,
}

#[async_trait]
impl RateLimitStore for Remote {
    fn try_decide(&self, _: &[Charge], _: Tick) -> Option<Decision> {
        None
    }

    async fn decide(self: Arc<Self>, charges: Charges, now: Tick) -> Result<Decision, Error> {
        tokio::task::yield_now().await;
        if self.down {
            return Err(Error::unavailable("connection refused"));
        }
        Arc::clone(&self.memory).decide(charges, now).await
    }
}

fn remote(down: bool) -> Limiter {
    let memory = Arc::new(MemoryStore::bounded(10));
    let store = Arc::new(Remote { memory, down });
    Limiter::in_store(store, Quota::per_minute(6).burst(1)).with_clock(Clock::manual().0)
}

#[tokio::test]
async fn a_store_that_answers_later_makes_the_same_answers() {
    let layer = RateLimitLayer::new(remote(false));
    let allowed = send(&layer, from("192.0.2.1")).await;
    assert_eq!(header(&allowed, "ratelimit"), Some(r#""default";r=0;t=10"#));
    assert_eq!(text(allowed).await, "hello");
    let refused = send(&layer, from("192.0.2.1")).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&refused, "retry-after"), Some("10"));
}

#[tokio::test]
async fn a_store_that_fails_is_decided_without() {
    let open = RateLimitLayer::new(remote(true));
    let answer = send(&open, from("192.0.2.1")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, "ratelimit"), None, "nobody knows");

    let closed = RateLimitLayer::new(remote(true).with_on_failure(OnFailure::Closed));
    let answer = send(&closed, from("192.0.2.1")).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(&answer, "retry-after"), Some("1"));
    assert_eq!(header(&answer, "ratelimit"), None);
}

#[tokio::test]
async fn a_check_serves_a_frame() {
    let (limiter, time) = limiter(Quota::per_second(10).burst(5));
    let frames = Subject::new().connection(7);
    let Verdict::Allowed(allowed) = limiter.check(&frames, 3).await else {
        panic!("refused")
    };
    assert_eq!((allowed.remaining(), allowed.degraded()), (2, false));
    assert_eq!(allowed.reset_after(), Duration::from_millis(300));

    let Some(Verdict::Refused(refused)) = limiter.try_check(&frames, 4) else {
        panic!("allowed")
    };
    assert_eq!((refused.remaining(), refused.degraded()), (2, false));
    assert_eq!(refused.retry_after(), Duration::from_millis(200));

    let Verdict::Never(never) = limiter.check(&frames, 6).await else {
        panic!("not never")
    };
    assert_eq!((never.cost(), never.capacity()), (6, 5));

    assert!(
        limiter
            .check(&Subject::new().connection(8), 5)
            .await
            .is_allowed(),
        "another connection"
    );
    time.advance(Duration::from_millis(200));
    assert!(
        limiter.check(&frames, 4).await.is_allowed(),
        "it waited as told"
    );
}

#[tokio::test]
async fn a_check_never_fails() {
    let subject = Subject::user("u1");
    assert_eq!(
        remote(false).try_check(&subject, 1),
        None,
        "it would have to wait"
    );
    let Verdict::Allowed(allowed) = remote(true).check(&subject, 1).await else {
        panic!("refused")
    };
    assert!(allowed.degraded());
    let closed = remote(true).with_on_failure(OnFailure::Closed);
    let Verdict::Refused(refused) = closed.check(&subject, 1).await else {
        panic!("allowed")
    };
    assert!(refused.degraded());
    assert_eq!(refused.retry_after(), Duration::from_secs(1));
}

#[tokio::test]
async fn limiters_in_one_store_do_not_share_buckets_and_clones_do() {
    let store = Arc::new(MemoryStore::bounded(10));
    let subject = Subject::user("u1");
    let first = Limiter::in_store(store.clone(), Quota::per_day(1));
    let second = Limiter::in_store(store, Quota::per_day(1));
    assert!(first.check(&subject, 1).await.is_allowed());
    assert!(second.check(&subject, 1).await.is_allowed());
    assert!(!first.clone().check(&subject, 1).await.is_allowed());
}

#[tokio::test]
async fn a_refusal_says_why() {
    let (limiter, _time) = limiter(Quota::per_day(1));
    let layer = RateLimitLayer::new(limiter).on_refusal(|refusal| {
        assert_eq!(
            refusal
                .policies()
                .map(PolicyName::as_str)
                .collect::<Vec<_>>(),
            ["api"]
        );
        assert_eq!(refusal.reason(), Reason::Limited);
        assert_eq!(refusal.retry_after(), Some(Duration::from_secs(86_400)));
        refusal.problem().into_response()
    });
    send(&layer, from("192.0.2.1")).await;
    assert_eq!(
        send(&layer, from("192.0.2.1")).await.status(),
        StatusCode::TOO_MANY_REQUESTS
    );
}

proptest! {
    /// However many connections a user has, in whatever order they ask: they have one quota
    /// between them, and take nothing from another user's.
    #[test]
    fn p004_28_per_user_limiting(
        frames in proptest::collection::vec((0usize..3, 0usize..4), 0..200),
        burst in 1u32..20,
    ) {
        let (limiter, _time) = limiter(Quota::per_day(1).burst(burst));
        let connections = [0; 4].map(|_| limiter.clone());
        let users = ["ada", "bob", "eve"].map(|name| Identity::new(name).with_tenant("acme"));
        let mut admitted = [0; 3];
        for (user, connection) in frames {
            let subject = Subject::identity(&users[user]);
            let verdict = connections[connection].try_check(&subject, 1).expect("it never waits");
            prop_assert_eq!(verdict.is_allowed(), admitted[user] < burst);
            admitted[user] += u32::from(verdict.is_allowed());
        }
    }
}
