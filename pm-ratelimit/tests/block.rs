//! Who is kept out, when, and on which instance.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::future::Future;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use pm_core::{Cidr, ClientIp, ClientIpLayer, Clock, ManualTime, PeerAddr, TrustedProxies};
use pm_ratelimit::block::{
    AutoBlock, BlockLayer, BlockList, BlockListBuilder, BlockStore, Cause, Changes, Effect, Entry,
    Order, Position,
};
use pm_ratelimit::violations::Threshold;
use pm_ratelimit::{Error, Incident, Limiter, Quota, RefusalObserver, Rule, Rules, Stage, guard};
use pm_testing::{Log, ServiceProbe, contract, drive};
use proptest::prelude::*;
use tower::{Layer, ServiceBuilder, ServiceExt};

const MINUTE: Duration = Duration::from_secs(60);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn respond(_: Request<()>) -> Response<http_body_util::Full<Bytes>> {
    Response::new(Bytes::from_static(b"hello").into())
}

fn from(client: IpAddr) -> Request<()> {
    let mut request = Request::new(());
    request
        .extensions_mut()
        .insert(PeerAddr((client, 5).into()));
    request
}

fn status(blocks: &BlockList, client: IpAddr) -> StatusCode {
    let (probe, _) = ServiceProbe::new(respond);
    let service = BlockLayer::new(blocks.clone()).layer(probe);
    drive(service.oneshot(from(client))).unwrap().status()
}

fn manual() -> (BlockListBuilder, ManualTime) {
    let (clock, time) = Clock::manual();
    (BlockList::builder().clock(clock), time)
}

fn violate(blocks: &BlockList, client: IpAddr, times: usize) {
    for _ in 0..times {
        blocks.refused(&Incident::new("/").client(client));
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Block(usize, u8, u8),
    Allow(usize, u8, u8),
    Unblock(usize, u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let place = (
        0usize..3,
        0u8..8,
        prop_oneof![Just(32u8), Just(31), Just(30), Just(0)],
    );
    (place, 0..3).prop_map(|((instance, host, length), kind)| match kind {
        0 => Step::Block(instance, host, length),
        1 => Step::Allow(instance, host, length),
        _ => Step::Unblock(instance, host, length),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// From block to unblock every request gets 403, on every instance, unless it is allowed; and
    /// otherwise none does.
    #[test]
    fn p001_7_a_blocked_address_gets_403_on_every_instance_until_it_is_unblocked(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let (clock, time) = Clock::manual();
        let store = Arc::new(guard::MemoryStore::new());
        let instances: Vec<BlockList> = (0..3)
            .map(|_| BlockList::builder().clock(clock.clone()).store(store.clone()).build())
            .collect();
        let prefix = |host: u8, length| Cidr::around([192, 0, 2, host].into(), length);
        let mut model = std::collections::BTreeMap::new();
        for step in steps {
            time.advance(Duration::from_secs(1));
            let instance = match step {
                Step::Block(instance, host, length) => {
                    let order = Order::on(prefix(host, length)).by("ada");
                    drive(instances[instance].block(order)).unwrap();
                    model.insert(prefix(host, length), Effect::Block);
                    instance
                }
                Step::Allow(instance, host, length) => {
                    let order = Order::on(prefix(host, length)).by("ada");
                    drive(instances[instance].allow(order)).unwrap();
                    model.insert(prefix(host, length), Effect::Allow);
                    instance
                }
                Step::Unblock(instance, host, length) => {
                    drive(instances[instance].unblock(prefix(host, length), "ada")).unwrap();
                    model.remove(&prefix(host, length));
                    instance
                }
            };
            let expect = |host: u8| {
                let addr = IpAddr::from([192, 0, 2, host]);
                let said = || model.iter().filter(|(prefix, _)| prefix.contains(addr));
                let blocked = said().any(|(_, effect)| *effect == Effect::Block)
                    && !said().any(|(_, effect)| *effect == Effect::Allow);
                (addr, if blocked { StatusCode::FORBIDDEN } else { StatusCode::OK })
            };
            // Where it was said, at once; elsewhere with the next look at the store.
            for (number, other) in instances.iter().enumerate() {
                if number != instance {
                    drive(other.synchronize()).unwrap();
                }
                for host in 0..8 {
                    let (addr, expected) = expect(host);
                    prop_assert_eq!(status(other, addr), expected, "{} on {}", addr, number);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_blocked_client_gets_a_problem_that_gives_nothing_away() {
    let (builder, _time) = manual();
    let blocks = builder.build();
    let order = Order::on(cidr("192.0.2.0/24"))
        .because("we know her")
        .by("ada");
    blocks.block(order).await.unwrap();
    let (probe, handle) = ServiceProbe::new(respond);
    let service = BlockLayer::new(blocks.clone()).layer(probe);
    let response = service
        .clone()
        .oneshot(from(ip("192.0.2.9")))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    assert!(!response.headers().contains_key("retry-after"));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        body,
        r#"{"type":"about:blank","title":"Forbidden","status":403,"detail":"requests from this address are not accepted"}"#
    );
    assert_eq!(handle.calls(), 0);

    let mut grpc = from(ip("192.0.2.9"));
    grpc.headers_mut()
        .insert("content-type", "application/grpc".parse().unwrap());
    let response = service.clone().oneshot(grpc).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "7");
    assert_eq!(response.headers()["grpc-retry-pushback-ms"], "-1");

    let let_in = service.oneshot(from(ip("192.0.3.9"))).await.unwrap();
    assert_eq!(
        let_in.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
    let listed = blocks.get(cidr("192.0.2.0/24")).unwrap();
    assert_eq!((listed.hits, listed.in_force), (2, true));
    assert_eq!(blocks.stats().hits, 2);
}

#[tokio::test]
async fn the_answer_is_yours_to_make() {
    let (builder, _time) = manual();
    let blocks = builder.build();
    blocks
        .block(Order::on(cidr("192.0.2.1/32")).because("spam"))
        .await
        .unwrap();
    let layer = BlockLayer::new(blocks.clone()).on_refusal(move |refusal| {
        let prefix = refusal.blocked().map(pm_ratelimit::block::Blocked::prefix);
        let listed = prefix.and_then(|prefix| blocks.get(prefix));
        let reason = listed.map(|listed| listed.entry.reason.to_string());
        Response::new(Bytes::from(reason.unwrap_or_default()))
    });
    let (probe, _) = ServiceProbe::new(respond);
    let response = layer
        .layer(probe)
        .oneshot(from(ip("192.0.2.1")))
        .await
        .unwrap();
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "spam"
    );
}

#[test]
fn a_request_from_nowhere_is_not_let_past_and_complained_about_once() {
    let log = Log::capture(tracing::Level::ERROR);
    let (probe, handle) = ServiceProbe::new(respond);
    let service = BlockLayer::new(manual().0.build()).layer(probe);
    for _ in 0..3 {
        let response = drive(service.clone().oneshot(Request::new(()))).unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(handle.calls(), 0);
    assert_eq!(log.lines().len(), 1);
}

/// CrowdSec #3547 and #4022: an allowed host stayed out because of a range, or of a ban that was
/// there before.
#[test]
fn what_is_allowed_beats_every_block_existing_wider_or_narrower() {
    let (builder, _time) = manual();
    let blocks = builder.allow([cidr("203.0.113.0/24")]).build();
    let client = ip("198.51.100.7");
    drive(blocks.block(Order::on(cidr("198.51.100.0/24")))).unwrap();
    drive(blocks.block(Order::on(cidr("198.51.100.7/32")))).unwrap();
    assert_eq!(status(&blocks, client), StatusCode::FORBIDDEN);
    drive(blocks.allow(Order::on(cidr("198.51.100.0/28")).lasting(MINUTE))).unwrap();
    assert_eq!(status(&blocks, client), StatusCode::OK);
    assert_eq!(status(&blocks, ip("198.51.100.77")), StatusCode::FORBIDDEN);
    drive(blocks.unblock(cidr("198.51.100.0/28"), "ada")).unwrap();
    assert_eq!(status(&blocks, client), StatusCode::FORBIDDEN);

    for prefix in ["203.0.113.0/24", "203.0.113.5/32", "0.0.0.0/0"] {
        drive(blocks.block(Order::on(cidr(prefix)))).unwrap();
        assert_eq!(
            status(&blocks, ip("203.0.113.5")),
            StatusCode::OK,
            "{prefix}"
        );
    }
    assert!(
        drive(blocks.unblock(cidr("203.0.113.0/24"), "ada"))
            .unwrap()
            .is_none()
    );
    assert_eq!(status(&blocks, ip("203.0.113.5")), StatusCode::OK);
    assert_eq!(status(&blocks, ip("8.8.8.8")), StatusCode::FORBIDDEN);
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_kept_out() {
    let (builder, _time) = manual();
    let blocks = builder.build();
    drive(blocks.block(Order::on(cidr("192.0.2.1/32")))).unwrap();
    for clothes in [
        "::ffff:192.0.2.1",
        "64:ff9b::192.0.2.1",
        "2002:c000:201:9::1",
    ] {
        assert_eq!(
            status(&blocks, ip(clothes)),
            StatusCode::FORBIDDEN,
            "{clothes}"
        );
    }
    drive(blocks.block(Order::on(cidr("2002:c000:300::/40")))).unwrap();
    assert_eq!(
        status(&blocks, ip("2002:c000:301::1")),
        StatusCode::FORBIDDEN
    );
    assert_eq!(status(&blocks, ip("192.0.3.1")), StatusCode::OK);
}

#[test]
fn a_block_is_over_when_its_time_is() {
    let (builder, time) = manual();
    let blocks = builder.build();
    let order = Order::on(cidr("192.0.2.1/32")).lasting(MINUTE);
    drive(blocks.block(order)).unwrap();
    time.advance(MINUTE - Duration::from_micros(1));
    assert_eq!(status(&blocks, ip("192.0.2.1")), StatusCode::FORBIDDEN);
    assert_eq!(blocks.list(None, 10).len(), 1);
    time.advance(Duration::from_micros(1));
    assert_eq!(status(&blocks, ip("192.0.2.1")), StatusCode::OK);
    assert!(blocks.list(None, 10).is_empty());
    drive(blocks.synchronize()).unwrap();
    assert!(blocks.get(cidr("192.0.2.1/32")).is_none(), "forgotten");
}

#[test]
fn the_list_comes_in_pages() {
    let (builder, _time) = manual();
    let blocks = builder.build();
    let prefixes = [
        "10.0.0.0/8",
        "10.0.0.0/9",
        "192.0.2.1/32",
        "2001:db8::/32",
        "2001:db8::1/128",
    ];
    for prefix in prefixes.iter().rev() {
        drive(blocks.block(Order::on(cidr(prefix)))).unwrap();
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = blocks.list(after, 2);
        let Some(last) = page.last() else { break };
        after = Some(last.entry.prefix);
        seen.extend(page.iter().map(|listed| listed.entry.prefix.to_string()));
    }
    assert_eq!(seen, prefixes);
}

#[test]
fn the_fiftieth_violation_blocks_for_a_quarter_of_an_hour() {
    let (builder, time) = manual();
    let blocks = builder.automatic(AutoBlock::new()).build();
    let log = Log::capture(tracing::Level::WARN);
    let client = ip("2001:db8:1:2::3");
    violate(&blocks, client, 49);
    assert_eq!(status(&blocks, client), StatusCode::OK);
    violate(&blocks, client, 1);
    assert_eq!(status(&blocks, client), StatusCode::FORBIDDEN);
    assert_eq!(
        status(&blocks, ip("2001:db8:1:2:ffff::1")),
        StatusCode::FORBIDDEN
    );
    assert_eq!(status(&blocks, ip("2001:db8:1:3::1")), StatusCode::OK);
    let entry = blocks.get(cidr("2001:db8:1:2::/64")).unwrap().entry;
    assert_eq!((entry.cause, entry.level), (Cause::Automatic, 1));
    assert_eq!(&*entry.reason, "50 violations within 600s");
    assert_eq!(log.lines().len(), 1);
    time.advance(15 * MINUTE);
    assert_eq!(status(&blocks, client), StatusCode::OK);

    violate(&blocks, client, 50);
    time.advance(15 * MINUTE);
    assert_eq!(
        status(&blocks, client),
        StatusCode::FORBIDDEN,
        "twice as long"
    );
    drive(blocks.unblock(cidr("2001:db8:1:2::/64"), "ada")).unwrap();
    assert_eq!(status(&blocks, client), StatusCode::OK);
    violate(&blocks, client, 50);
    assert_eq!(
        blocks.get(cidr("2001:db8:1:2::/64")).unwrap().entry.level,
        1,
        "forgiven"
    );
}

/// Where blocks do not apply, refusals go on.
#[test]
fn who_is_kept_out_or_let_in_already_is_not_blocked_for_more_of_the_same() {
    let (builder, _time) = manual();
    let office = cidr("10.0.0.0/8");
    let blocks = builder.automatic(AutoBlock::new()).allow([office]).build();
    let log = Log::capture(tracing::Level::WARN);
    violate(&blocks, ip("192.0.2.1"), 50 * 20);
    let entry = blocks.get(cidr("192.0.2.1/32")).unwrap().entry;
    assert_eq!(entry.level, 1);
    assert_eq!(log.lines().len(), 1);
    violate(&blocks, ip("10.0.0.5"), 50 * 20);
    assert!(blocks.get(cidr("10.0.0.5/32")).is_none());
    assert_eq!(log.lines().len(), 1);
}

#[test]
fn an_automatic_block_reaches_the_other_instances_and_history_counts_there() {
    let (clock, time) = Clock::manual();
    let store = Arc::new(guard::MemoryStore::new());
    let auto = AutoBlock::new();
    let list = || {
        BlockList::builder()
            .clock(clock.clone())
            .store(store.clone())
            .automatic(auto)
    };
    let (one, two) = (list().build(), list().build());
    let client = ip("192.0.2.1");
    violate(&one, client, 50);
    drive(one.synchronize()).unwrap();
    drive(two.synchronize()).unwrap();
    assert_eq!(status(&two, client), StatusCode::FORBIDDEN);
    time.advance(16 * MINUTE);
    violate(&two, client, 50);
    assert_eq!(two.get(Cidr::from(client)).unwrap().entry.level, 2);
    // Somebody has said something else meanwhile.
    drive(one.allow(Order::on(Cidr::from(client)))).unwrap();
    drive(two.synchronize()).unwrap();
    drive(one.synchronize()).unwrap();
    for list in [&one, &two] {
        assert_eq!(status(list, client), StatusCode::OK);
        assert_eq!(
            list.get(Cidr::from(client)).unwrap().entry.cause,
            Cause::Manual
        );
    }
    violate(&two, client, 50);
    assert_eq!(status(&two, client), StatusCode::OK);
}

/// Through the whole stack: whatever a client writes into its headers, nobody else is blocked.
#[test]
fn spoofed_headers_block_nobody_else() {
    let victim = "203.0.113.9";
    let headers = [
        ("x-forwarded-for", "203.0.113.9".to_owned()),
        ("x-forwarded-for", "203.0.113.9, 203.0.113.9".to_owned()),
        ("x-forwarded-for", "::ffff:203.0.113.9".to_owned()),
        ("forwarded", "for=203.0.113.9".to_owned()),
        ("x-real-ip", "203.0.113.9".to_owned()),
        ("cf-connecting-ip", "203.0.113.9".to_owned()),
        ("true-client-ip", "203.0.113.9".to_owned()),
    ];
    let proxies = TrustedProxies::cidrs(["10.0.0.0/8"]).unwrap();
    for proxies in [TrustedProxies::none(), proxies] {
        for (name, value) in &headers {
            let (builder, _time) = manual();
            let blocks = builder.automatic(AutoBlock::new()).build();
            let rules = Rules::new().rule("all", Rule::always().quota(Quota::per_day(1)));
            let limiter = Limiter::builder(rules)
                .observer(blocks.clone())
                .build()
                .unwrap();
            let (probe, _) = ServiceProbe::new(respond);
            let service = ServiceBuilder::new()
                .layer(ClientIpLayer::new(proxies.clone()))
                .layer(BlockLayer::new(blocks.clone()))
                .layer(limiter.layer(Stage::Identified))
                .service(probe);
            for _ in 0..60 {
                let mut request = from(ip("198.51.100.1"));
                request.headers_mut().append(*name, value.parse().unwrap());
                drive(service.clone().oneshot(request)).unwrap();
            }
            assert!(blocks.check(ip(victim)).is_none(), "{name}: {value}");
            assert!(
                blocks.check(ip("198.51.100.1")).is_some(),
                "{name}: {value}"
            );
        }
    }
}

#[test]
fn behind_a_trusted_proxy_the_client_is_blocked_and_not_the_proxy() {
    let (builder, _time) = manual();
    let blocks = builder.automatic(AutoBlock::new()).build();
    let proxies = TrustedProxies::cidrs(["10.0.0.0/8"]).unwrap();
    let rules = Rules::new().rule("all", Rule::always().quota(Quota::per_day(1)));
    let limiter = Limiter::builder(rules)
        .proxies(proxies)
        .observer(blocks.clone());
    let (probe, _) = ServiceProbe::new(respond);
    let service = limiter
        .build()
        .unwrap()
        .layer(Stage::Identified)
        .layer(probe);
    for _ in 0..60 {
        let mut request = from(ip("10.0.0.1"));
        let hops = "203.0.113.9, 198.51.100.1".parse().unwrap();
        request.headers_mut().append("x-forwarded-for", hops);
        drive(service.clone().oneshot(request)).unwrap();
    }
    let prefixes: Vec<Cidr> = blocks
        .list(None, 9)
        .iter()
        .map(|of| of.entry.prefix)
        .collect();
    assert_eq!(prefixes, [cidr("198.51.100.1/32")]);
}

#[test]
fn an_address_that_nobody_vouches_for_is_never_blocked() {
    let (builder, _time) = manual();
    let blocks = builder.automatic(AutoBlock::new()).build();
    let rules = Rules::new().rule("all", Rule::always().quota(Quota::per_day(1)));
    let limiter = Limiter::builder(rules)
        .observer(blocks.clone())
        .build()
        .unwrap();
    let (probe, _) = ServiceProbe::new(respond);
    let service = limiter.layer(Stage::Identified).layer(probe);
    for _ in 0..60 {
        // Put there by something that has read it from a header: there is no socket behind it.
        let mut request = Request::new(());
        request
            .extensions_mut()
            .insert(ClientIp::new(ip("203.0.113.9")));
        drive(service.clone().oneshot(request)).unwrap();
    }
    assert!(blocks.list(None, 9).is_empty());
}

#[derive(Default)]
struct CountWakes(AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn an_open_socket_hears_of_its_block_and_of_no_other() {
    let (clock, _time) = Clock::manual();
    let store = Arc::new(guard::MemoryStore::new());
    let list = || {
        BlockList::builder()
            .clock(clock.clone())
            .store(store.clone())
            .build()
    };
    let (here, there) = (list(), list());
    let wakes = Arc::new(CountWakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let cx = &mut Context::from_waker(&waker);
    let mut socket = pin!(here.blocked(ip("192.0.2.1")));
    let mut nat64 = pin!(here.blocked(ip("64:ff9b::192.0.2.1")));
    assert!(socket.as_mut().poll(cx).is_pending() && nat64.as_mut().poll(cx).is_pending());
    for other in ["192.0.2.2/32", "192.0.3.0/24", "2001:db8::/32"] {
        drive(there.block(Order::on(cidr(other)))).unwrap();
    }
    drive(here.synchronize()).unwrap();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    assert!(socket.as_mut().poll(cx).is_pending());

    drive(there.block(Order::on(cidr("192.0.2.0/24")))).unwrap();
    assert!(socket.as_mut().poll(cx).is_pending(), "not heard of yet");
    drive(here.synchronize()).unwrap();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 2);
    let Poll::Ready(blocked) = socket.as_mut().poll(cx) else {
        panic!("it is blocked");
    };
    assert_eq!(blocked.prefix(), cidr("192.0.2.0/24"));
    assert!(nat64.as_mut().poll(cx).is_ready());
}

#[test]
fn a_socket_that_moves_to_another_task_is_woken_there() {
    let (builder, _time) = manual();
    let blocks = builder.build();
    let wakes = [(); 2].map(|()| Arc::new(CountWakes::default()));
    let mut socket = pin!(blocks.blocked(ip("64:ff9b::192.0.2.1")));
    for wakes in [&wakes[0], &wakes[0], &wakes[1]] {
        let waker = Waker::from(Arc::clone(wakes));
        let cx = &mut Context::from_waker(&waker);
        assert!(socket.as_mut().poll(cx).is_pending());
    }
    drive(blocks.block(Order::on(cidr("192.0.2.1/32")))).unwrap();
    let woken = wakes.map(|wakes| wakes.0.load(Ordering::SeqCst));
    assert_eq!(woken, [0, 1]);
}

#[test]
fn a_socket_hears_that_it_is_no_longer_allowed() {
    let (builder, time) = manual();
    let blocks = builder.build();
    let wakes = Arc::new(CountWakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let cx = &mut Context::from_waker(&waker);
    drive(blocks.allow(Order::on(cidr("192.0.2.0/24")).lasting(MINUTE))).unwrap();
    drive(blocks.block(Order::on(cidr("0.0.0.0/0")))).unwrap();
    let mut socket = pin!(blocks.blocked(ip("192.0.2.1")));
    assert!(socket.as_mut().poll(cx).is_pending());
    time.advance(MINUTE);
    drive(blocks.synchronize()).unwrap();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert!(socket.as_mut().poll(cx).is_ready());
}

/// Fails while it is told to, and can lose what it holds.
#[derive(Debug)]
struct Shaky {
    inner: Mutex<Arc<guard::MemoryStore>>,
    down: AtomicBool,
    imposed: AtomicUsize,
}

impl Shaky {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Arc::new(guard::MemoryStore::new())),
            down: AtomicBool::new(false),
            imposed: AtomicUsize::new(0),
        })
    }

    fn reach(&self) -> Result<Arc<guard::MemoryStore>, Error> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Error::TimedOut);
        }
        Ok(Arc::clone(&self.inner.lock().unwrap()))
    }
}

#[async_trait]
impl BlockStore for Shaky {
    async fn impose(self: Arc<Self>, entries: Vec<Entry>, now: i64) -> Result<Vec<Entry>, Error> {
        self.imposed.fetch_add(1, Ordering::SeqCst);
        self.reach()?.impose(entries, now).await
    }

    async fn changes(self: Arc<Self>, since: Position, now: i64) -> Result<Changes, Error> {
        self.reach()?.changes(since, now).await
    }
}

#[tokio::test]
async fn while_the_store_is_down_what_is_known_counts_and_two_lines_are_logged() {
    let log = Log::capture(tracing::Level::INFO);
    let (clock, time) = Clock::manual();
    let store = Shaky::new();
    let blocks = BlockList::builder().clock(clock).store(store.clone());
    let blocks = blocks.automatic(AutoBlock::new()).build();
    blocks.block(Order::on(cidr("192.0.2.1/32"))).await.unwrap();
    let running = tokio::spawn(blocks.clone().run());
    let pass = async |polls: usize| {
        for _ in 0..polls {
            tokio::task::yield_now().await;
            time.advance(Duration::from_millis(250));
        }
        tokio::task::yield_now().await;
    };
    pass(2).await;
    store.down.store(true, Ordering::SeqCst);
    pass(20).await;
    assert!(blocks.behind().unwrap() >= Duration::from_secs(4));
    assert!(blocks.block(Order::on(cidr("192.0.2.2/32"))).await.is_err());
    assert_eq!(status(&blocks, ip("192.0.2.1")), StatusCode::FORBIDDEN);
    assert_eq!(
        status(&blocks, ip("192.0.2.2")),
        StatusCode::OK,
        "it was refused, and said so"
    );
    let before = store.imposed.load(Ordering::SeqCst);
    violate(&blocks, ip("192.0.2.3"), 50);
    assert_eq!(status(&blocks, ip("192.0.2.3")), StatusCode::FORBIDDEN);
    pass(20).await;
    assert_eq!(
        store.imposed.load(Ordering::SeqCst),
        before + 1,
        "sent once"
    );
    store.down.store(false, Ordering::SeqCst);
    pass(2).await;
    assert!(blocks.behind().unwrap() <= Duration::from_millis(500));
    running.abort();
    let lines = log.lines();
    let of_store: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("store of blocks"))
        .collect();
    assert_eq!(of_store.len(), 2, "{lines:#?}");
}

#[test]
fn a_store_that_lost_everything_unblocks_nobody() {
    let (builder, _time) = manual();
    let store = Shaky::new();
    let blocks = builder.store(store.clone()).build();
    drive(blocks.block(Order::on(cidr("192.0.2.1/32")))).unwrap();
    drive(blocks.block(Order::on(cidr("192.0.2.2/32")))).unwrap();
    drive(blocks.synchronize()).unwrap();
    *store.inner.lock().unwrap() = Arc::new(guard::MemoryStore::new());
    drive(blocks.synchronize()).unwrap();
    assert_eq!(status(&blocks, ip("192.0.2.1")), StatusCode::FORBIDDEN);
    // Its next word counts, although its versions begin anew.
    drive(blocks.unblock(cidr("192.0.2.1/32"), "ada")).unwrap();
    drive(blocks.synchronize()).unwrap();
    assert_eq!(status(&blocks, ip("192.0.2.1")), StatusCode::OK);
    assert_eq!(status(&blocks, ip("192.0.2.2")), StatusCode::FORBIDDEN);
}

#[test]
fn a_list_without_room_blocks_nobody_automatically() {
    let (builder, _time) = manual();
    let auto = AutoBlock::new().threshold(Threshold::more_than(0, MINUTE));
    let blocks = builder.automatic(auto).room(10).build();
    for host in 0..100 {
        violate(&blocks, [192, 0, 2, host].into(), 1);
    }
    assert_eq!(blocks.list(None, 100).len(), 10);
    assert_eq!((blocks.stats().automatic, blocks.stats().no_room), (10, 90));
    drive(blocks.block(Order::on(cidr("192.0.2.99/32")))).unwrap();
    assert_eq!(
        status(&blocks, ip("192.0.2.99")),
        StatusCode::FORBIDDEN,
        "by hand there is"
    );
}

#[test]
fn it_keeps_towers_contract() {
    let (builder, _time) = manual();
    let blocks = builder.build();
    drive(blocks.block(Order::on(cidr("192.0.2.1/32")))).unwrap();
    let layer = BlockLayer::new(blocks);
    let open = || from(ip("192.0.2.2"));
    contract::passes_readiness_through(&layer, respond);
    contract::calls_the_readied_instance(&layer, respond, open);
    contract::refusal_releases_the_inner(&layer, respond, || from(ip("192.0.2.1")));
    contract::clones_are_independent(&layer, respond, open);
    contract::cancelling_leaves_nothing_behind(&layer, respond, open);
}

#[test]
fn a_look_up_allocates_nothing() {
    let (builder, _time) = manual();
    let blocks = builder.build();
    drive(blocks.block(Order::on(cidr("192.0.2.0/24")))).unwrap();
    let clients = ["192.0.2.1", "192.0.3.1", "2001:db8::1"].map(ip);
    let _ = clients.map(|client| blocks.check(client));
    let info = allocation_counter::measure(|| {
        for client in clients {
            let _ = blocks.check(client);
        }
    });
    assert_eq!(info.count_total, 0);
}
