//! What a client sees of rules, through a real stack.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use pm_core::{Clock, Identity, ManualTime, PeerAddr, TrustedProxies};
use pm_ratelimit::caller::{ApiKey, ConnectionId, Cost, CustomSubject};
use pm_ratelimit::headers::Headers;
use pm_ratelimit::in_flight::{Concurrency, InFlightLayer, Permit};
use pm_ratelimit::{
    By, Limiter, LimiterBuilder, PolicyName, Quota, RateLimitLayer, Rule, Rules, STANDARD_ROLES,
    Stage, Subject, UserQuotas,
};
use proptest::prelude::*;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

fn build(builder: LimiterBuilder) -> (Limiter, ManualTime) {
    let (clock, time) = Clock::manual();
    (builder.clock(clock).build().expect("valid rules"), time)
}

fn daily(tokens: u32) -> Quota {
    Quota::per_day(tokens)
}

fn request(method: Method, path: &str) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect(path);
    request
        .extensions_mut()
        .insert(PeerAddr(SocketAddr::new([192, 0, 2, 1].into(), 1)));
    request
}

fn get(path: &str) -> Request<()> {
    request(Method::GET, path)
}

async fn hello(_: Request<()>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new("hello".into()))
}

async fn send(layer: &RateLimitLayer, request: Request<()>) -> Response<Bytes> {
    let answer = layer.layer(service_fn(hello)).oneshot(request).await;
    let (parts, body) = answer.expect("infallible").into_parts();
    let body = body.collect().await.expect("infallible").to_bytes();
    Response::from_parts(parts, body)
}

fn header<'a, B>(answer: &'a Response<B>, name: &str) -> Option<&'a str> {
    let value = answer.headers().get(name)?;
    Some(value.to_str().expect("ASCII"))
}

fn problem(answer: &Response<Bytes>) -> serde_json::Value {
    serde_json::from_slice(answer.body()).expect("JSON")
}

#[tokio::test]
async fn each_stage_decides_by_its_own_rules() {
    let (limiter, _) = build(Limiter::builder(
        Rules::new()
            .rule(
                "login",
                Rule::on("POST /login").by(By::Client).quota(daily(1)),
            )
            .rule(
                "user",
                Rule::always()
                    .by(By::User)
                    .quota(daily(2))
                    .roles(STANDARD_ROLES),
            ),
    ));
    let service = ServiceBuilder::new()
        .layer(limiter.layer(Stage::Edge))
        .map_request(|mut request: Request<()>| {
            if let Some(name) = request.headers().get("x-test-user") {
                let identity = Identity::new(name.to_str().expect("ASCII"));
                request
                    .extensions_mut()
                    .insert(identity.with_roles(["MANAGER"]));
            }
            request
        })
        .layer(limiter.layer(Stage::Identified))
        .service_fn(hello);
    let ask = async |method, path, user: Option<&'static str>| {
        let mut request = request(method, path);
        if let Some(user) = user {
            request
                .headers_mut()
                .insert("x-test-user", user.parse().expect("valid"));
        }
        service.clone().oneshot(request).await.expect("infallible")
    };
    assert_eq!(ask(Method::POST, "/login", None).await.status(), 200);
    let refused = ask(Method::POST, "//login/", None).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(
        header(&refused, "ratelimit-policy"),
        Some(r#""login";q=1;w=86400"#)
    );
    for left in (0..6).rev() {
        let answer = ask(Method::GET, "/", Some("ada")).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(
            header(&answer, "ratelimit-policy"),
            Some(r#""user";q=6;w=86400"#)
        );
        let limit = header(&answer, "ratelimit").expect("it was decided");
        assert!(
            limit.starts_with(&format!(r#""user";r={left};"#)),
            "{limit}"
        );
    }
    assert_eq!(ask(Method::GET, "/", Some("ada")).await.status(), 429);
    assert_eq!(ask(Method::GET, "/", Some("bob")).await.status(), 200);
    assert_eq!(
        limiter.stats().unidentified,
        1,
        "the login, behind authentication"
    );
}

#[tokio::test]
async fn several_policies_are_one_list_and_the_longest_wait_is_told() {
    let (limiter, time) = build(
        Limiter::builder(
            Rules::new()
                .rule(
                    "fast",
                    Rule::always().by(By::Client).quota(Quota::per_second(1)),
                )
                .rule(
                    "slow",
                    Rule::always().by(By::Client).quota(Quota::per_minute(1)),
                )
                .rule(
                    "trial",
                    Rule::always().by(By::Client).quota(daily(1)).shadow(),
                ),
        )
        .headers(
            Headers::default()
                .with_x_rate_limit()
                .with_x_rate_limit_user(),
        ),
    );
    let layer = limiter.layer(Stage::Edge);
    let answer = send(&layer, get("/")).await;
    assert_eq!(
        header(&answer, "ratelimit-policy"),
        Some(r#""fast";q=1;w=1, "slow";q=1;w=60"#)
    );
    assert_eq!(
        header(&answer, "ratelimit"),
        Some(r#""fast";r=0;t=1, "slow";r=0;t=60"#)
    );
    assert_eq!(header(&answer, "x-ratelimit-limit"), Some("1"));
    assert_eq!(header(&answer, "x-ratelimit-remaining"), Some("0"));
    assert_eq!(
        header(&answer, "x-ratelimit-reset"),
        Some("60"),
        "seconds from now"
    );
    assert_eq!(
        header(&answer, "x-ratelimit-user-limit"),
        None,
        "no rule by user"
    );

    let answer = send(&layer, get("/")).await;
    assert_eq!(answer.status(), 429);
    assert_eq!(header(&answer, "retry-after"), Some("60"));
    assert_eq!(
        problem(&answer)["violated-policies"],
        serde_json::json!(["fast", "slow"])
    );
    time.advance(Duration::from_secs(2));
    let answer = send(&layer, get("/")).await;
    assert_eq!(header(&answer, "retry-after"), Some("58"));
    assert_eq!(
        problem(&answer)["violated-policies"],
        serde_json::json!(["slow"])
    );
    assert_eq!(
        header(&answer, "ratelimit"),
        Some(r#""fast";r=1;t=0, "slow";r=0;t=58"#)
    );

    let mut request = get("/");
    request.extensions_mut().insert(Cost(2));
    let answer = send(&layer, request).await;
    assert_eq!(answer.status(), 413);
    assert_eq!(
        header(&answer, "retry-after"),
        None,
        "waiting does not help"
    );
}

#[tokio::test]
async fn users_see_their_own_numbers() {
    let (limiter, _) = build(
        Limiter::builder(
            Rules::new()
                .rule("user", Rule::always().by(By::User).quota(daily(3)))
                .rule(
                    "all",
                    Rule::always()
                        .by(By::Everyone)
                        .quota(daily(1))
                        .stage(Stage::Identified),
                ),
        )
        .headers(Headers::none().with_x_rate_limit().with_x_rate_limit_user()),
    );
    let mut request = get("/");
    request.extensions_mut().insert(Identity::new("ada"));
    let answer = send(&limiter.layer(Stage::Identified), request).await;
    assert_eq!(header(&answer, "ratelimit"), None);
    assert_eq!(header(&answer, "x-ratelimit-remaining"), Some("0"));
    assert_eq!(header(&answer, "x-ratelimit-user-limit"), Some("3"));
    assert_eq!(header(&answer, "x-ratelimit-user-remaining"), Some("2"));
    assert_eq!(header(&answer, "x-ratelimit-user-reset"), Some("28800"));
}

#[tokio::test]
async fn a_path_that_can_be_read_in_two_ways_is_not_let_in() {
    let rules = Rules::new().rule("login", Rule::on("/login").by(By::Client).quota(daily(9)));
    let (limiter, _) = build(Limiter::builder(rules));
    let layer = limiter.layer(Stage::Edge);
    for path in ["/%2e%2e/login", "/a%2flogin", "/a%5clogin", "/%00", "/%zz"] {
        let answer = send(&layer, get(path)).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}");
        assert_eq!(
            header(&answer, "content-type"),
            Some("application/problem+json")
        );
    }
    // Without rules about paths nobody wants to know.
    let quick = RateLimitLayer::per_client(daily(9));
    assert_eq!(send(&quick, get("/a%2flogin")).await.status(), 200);
}

#[tokio::test]
async fn a_call_of_grpc_gets_a_status() {
    // HTTP 429 reaches callers as UNAVAILABLE, which clients retry at once (envoy #4660).
    let rules = Rules::new().rule(
        "all",
        Rule::always()
            .by(By::Client)
            .quota(Quota::per_second(2).burst(1)),
    );
    let (limiter, _) = build(Limiter::builder(rules));
    let layer = limiter.layer(Stage::Edge);
    for (cost, status, pushback) in [
        (1, None, None),
        (1, Some("8"), Some("500")),
        (2, Some("8"), Some("-1")),
    ] {
        let mut request = request(Method::POST, "/pm.v1.Tasks/List");
        let proto = "application/grpc+proto".parse().expect("valid");
        request.headers_mut().insert("content-type", proto);
        request.extensions_mut().insert(Cost(cost));
        let answer = send(&layer, request).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "grpc-status"), status);
        assert_eq!(header(&answer, "grpc-retry-pushback-ms"), pushback);
        if status.is_some() {
            assert_eq!(header(&answer, "content-type"), Some("application/grpc"));
            assert!(answer.body().is_empty());
        }
    }
}

#[tokio::test]
async fn rules_are_by_whatever_others_have_established() {
    let rule = |by| {
        Rule::always()
            .by(by)
            .quota(daily(1))
            .stage(Stage::Identified)
    };
    for (by, one, other) in [
        (By::ApiKey, 1, 2),
        (By::Connection, 3, 4),
        (By::Custom("card".into()), 5, 6),
    ] {
        let (limiter, _) = build(Limiter::builder(Rules::new().rule("rule", rule(by))));
        let layer = limiter.layer(Stage::Identified);
        for (who, status) in [(one, 200), (one, 429), (other, 200), (0, 200), (0, 200)] {
            let mut request = get("/");
            let extensions = request.extensions_mut();
            match who {
                0 => {}
                1 | 2 => drop(extensions.insert(ApiKey::new(who.to_string()))),
                3 | 4 => drop(extensions.insert(ConnectionId(who))),
                _ => drop(extensions.insert(CustomSubject::new("card", who.to_string()))),
            }
            assert_eq!(send(&layer, request).await.status(), status, "{who}");
        }
    }
}

#[tokio::test]
async fn the_limiter_knows_its_proxies() {
    let rules = Rules::new().rule("all", Rule::always().by(By::Client).quota(daily(1)));
    let proxies = TrustedProxies::cidrs(["192.0.2.0/24"]).expect("a block");
    let (limiter, _) = build(Limiter::builder(rules).proxies(proxies));
    let layer = limiter.layer(Stage::Edge);
    for (client, status) in [
        ("203.0.113.1", 200),
        ("203.0.113.1", 429),
        ("203.0.113.2", 200),
    ] {
        let mut request = get("/");
        // Leftmost is what the client claims: tower_governor and skp-ratelimit believe it.
        let chain = format!("198.51.100.{status}, {client}");
        request
            .headers_mut()
            .insert("x-forwarded-for", chain.parse().expect("valid"));
        assert_eq!(send(&layer, request).await.status(), status);
    }
}

/// Has a quota for everybody, after a while, or none at all.
#[derive(Debug)]
struct Remote(Arc<AtomicBool>);

#[async_trait::async_trait]
impl UserQuotas for Remote {
    fn try_quota(
        &self,
        _: &PolicyName,
        _: pm_ratelimit::User<'_>,
        _: pm_core::Tick,
    ) -> pm_ratelimit::Lookup {
        pm_ratelimit::Lookup::Unknown
    }

    async fn quota(
        self: Arc<Self>,
        _: PolicyName,
        _: Identity,
        _: pm_core::Tick,
    ) -> Result<Option<Quota>, pm_ratelimit::Error> {
        tokio::task::yield_now().await;
        if self.0.load(Ordering::Relaxed) {
            Ok(Some(daily(2)))
        } else {
            Err(pm_ratelimit::Error::TimedOut)
        }
    }
}

impl Remote {
    /// The source, and what says whether it answers.
    fn new(up: bool) -> (Self, Arc<AtomicBool>) {
        let up = Arc::new(AtomicBool::new(up));
        (Self(Arc::clone(&up)), up)
    }
}

#[tokio::test]
async fn a_look_up_that_fails_forgives_nothing() {
    // By the rule a user may have one a day, ada two: what she owes beyond the one stays owed.
    let rules = Rules::new().rule("user", Rule::always().by(By::User).quota(daily(1)));
    let (remote, up) = Remote::new(true);
    let (limiter, _) = build(Limiter::builder(rules).user_quotas(remote));
    let ada = Subject::user("ada");
    assert!(limiter.check(&ada, 2).await.is_allowed());
    up.store(false, Ordering::Relaxed);
    assert!(!limiter.check(&ada, 1).await.is_allowed());
    up.store(true, Ordering::Relaxed);
    assert!(!limiter.check(&ada, 1).await.is_allowed());
}

#[tokio::test]
async fn quotas_of_users_may_take_waiting_and_may_fail() {
    for (up, expected) in [(true, 2), (false, 1)] {
        let rules = Rules::new().rule("user", Rule::always().by(By::User).quota(daily(1)));
        let (limiter, _) = build(Limiter::builder(rules).user_quotas(Remote::new(up).0));
        let layer = limiter.layer(Stage::Identified);
        let mut admitted = 0;
        for _ in 0..5 {
            let mut request = get("/");
            request.extensions_mut().insert(Identity::new("ada"));
            admitted += u32::from(send(&layer, request).await.status() == 200);
        }
        assert_eq!(admitted, expected);
        assert_eq!(limiter.stats().lookups_failed, if up { 0 } else { 5 });
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn the_route_counts_and_not_how_the_path_is_written() {
    use axum::Router;
    use axum::routing::any;

    let (limiter, _) = build(Limiter::builder(
        Rules::new()
            .rule("one", Rule::on("GET /a/{x}").by(By::Client).quota(daily(1)))
            .rule("rest", Rule::on("/{*any}").by(By::Client).quota(daily(2))),
    ));
    let app = Router::new()
        .route("/a/{id}", any(async || "one"))
        .route("/b/{*rest}", any(async || "rest"))
        .layer(limiter.layer(Stage::Edge));
    for (path, status) in [
        ("/a/1", 200),
        ("/a/2", 429),
        ("/a/%41", 429),
        ("/b/1/2", 200),
        // No route, so the path itself.
        ("//b/1", 404),
        ("/c", 429),
        ("/%2f", 429),
    ] {
        let request = get(path).map(|()| axum::body::Body::empty());
        let answer = app.clone().oneshot(request).await.expect("infallible");
        let status = if path == "/%2f" { 400 } else { status };
        assert_eq!(answer.status(), status, "{path}");
    }
}

fn sockets(limit: u32) -> Concurrency {
    Concurrency::new(PolicyName::from_static("sockets"), By::Client, limit)
}

#[tokio::test]
async fn a_request_holds_its_permit_until_the_body_has_ended() {
    let concurrency = sockets(1);
    let service = InFlightLayer::new(concurrency.clone()).layer(service_fn(hello));
    let first = service.clone().oneshot(get("/")).await.expect("infallible");
    let refused = service.clone().oneshot(get("/")).await.expect("infallible");
    assert_eq!(refused.status(), 429);
    assert_eq!(
        header(&refused, "ratelimit-policy"),
        Some(r#""sockets";q=1;qu="concurrent-requests""#)
    );
    assert_eq!(header(&refused, "retry-after"), None, "nobody knows");
    let mut body = first.into_body();
    assert!(body.frame().await.is_some());
    assert!(body.frame().await.is_none());
    assert_eq!(concurrency.subjects(), 0, "before the body is dropped");

    let second = service.clone().oneshot(get("/")).await.expect("infallible");
    assert!(!second.body().is_end_stream());
    drop(second);
    assert_eq!(concurrency.subjects(), 0, "dropped without being read");
    let pending = service.oneshot(get("/"));
    drop(pending);
    assert_eq!(concurrency.subjects(), 0, "cancelled");
    let lost = InFlightLayer::new(concurrency).layer(service_fn(hello));
    assert_eq!(
        lost.oneshot(Request::new(()))
            .await
            .expect("infallible")
            .status(),
        500
    );
}

#[tokio::test]
async fn a_socket_holds_its_permit_for_as_long_as_it_lives() {
    let concurrency = sockets(1);
    let (send, mut sockets) = tokio::sync::mpsc::unbounded_channel();
    let upgrade = service_fn(move |request: Request<()>| {
        let permit = request.extensions().get::<Permit>().cloned();
        send.send(permit).expect("somebody waits");
        async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())) }
    });
    let service = InFlightLayer::new(concurrency.clone()).layer(upgrade);
    drop(service.clone().oneshot(get("/ws")).await);
    let socket = sockets.recv().await.flatten().expect("a permit");
    assert_eq!(
        concurrency.subjects(),
        1,
        "the response has ended, the socket has not"
    );
    let refused = service
        .clone()
        .oneshot(get("/ws"))
        .await
        .expect("infallible");
    assert_eq!(refused.status(), 429);
    drop(socket);
    assert_eq!(concurrency.subjects(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// An independent implementation of RFC 9651 reads the fields, and writes them the same.
    #[test]
    fn fields_are_canonical(
        names in proptest::collection::btree_set("[ -~]{1,64}", 1..8),
        tokens in 1u32..1_000_000,
        millis in 1_000u64..100_000_000,
    ) {
        let quota = Quota::new(tokens, Duration::from_millis(millis));
        let rules = names.iter().fold(Rules::new(), |rules, name| {
            rules.rule(name, Rule::always().by(By::Client).quota(quota))
        });
        let builder = Limiter::builder(rules).store(pm_ratelimit::MemoryStore::bounded(16));
        let (limiter, _) = build(builder);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let answer = runtime.block_on(send(&limiter.layer(Stage::Edge), get("/")));
        for name in ["ratelimit", "ratelimit-policy"] {
            let field = header(&answer, name).expect("it was decided");
            let list: sfv::List = sfv::Parser::new(field).parse().expect(field);
            prop_assert_eq!(list.len(), names.len());
            let written = sfv::FieldType::serialize(&list);
            prop_assert_eq!(written.as_deref(), Some(field));
        }
    }
}

#[test]
fn addresses_are_told_apart_as_they_should() {
    let concurrency = sockets(1);
    let acquire = |addr: &str| {
        let addr: IpAddr = addr.parse().expect(addr);
        concurrency.try_acquire(&pm_ratelimit::Subject::at(addr))
    };
    let held = acquire("2001:db8::1").expect("the first");
    assert!(acquire("2001:db8::2").is_err(), "the same /64");
    assert!(acquire("2001:db8:0:1::1").is_ok());
    drop(held);
    assert!(acquire("2001:db8::2").is_ok());
}
