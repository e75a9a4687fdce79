//! Who is kept out: over HTTP, at the upgrade and on what is open; for violations, too, and nobody else's.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::{net::IpAddr, time::Duration};

use axum::body::Body;
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use pm_core::{Cidr, TrustedProxies};
use pm_ratelimit::{AutoBlock, Quota, block::Order, violations::Threshold};
use pm_resilience::shutdown::Kind;
use pm_server::{
    auth::Role,
    r#gen::{self as pb, client_frame, server_frame::Body as Said},
    guard::GuardSettings,
    stack::StackSettings,
    ws::SocketSettings,
};
use serde_json::Value;
use support::{
    peer::{create_project, create_story, frame},
    running::{Running, Socket, next, say, upgrade},
    service::{Answered, Service, quotas, settings},
};
use tokio_tungstenite::tungstenite::Message;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

/// Proxies on this machine are believed.
fn behind_proxies() -> StackSettings {
    StackSettings {
        trusted_proxies: TrustedProxies::cidrs(["127.0.0.0/8"]).unwrap(),
        ..settings()
    }
}

async fn block(service: &Service, prefix: &str) {
    let order = Order::on(cidr(prefix)).because("scraping").by("grace");
    service.app.guard().blocks().block(order).await.unwrap();
}

/// Who is kept out, or let in whatever happens.
fn listed(service: &Service) -> Vec<String> {
    let list = service.app.guard().blocks().list(None, 100);
    list.iter()
        .map(|listed| listed.entry.prefix.to_string())
        .collect()
}

async fn get_from(service: &Service, peer: IpAddr, path: &str) -> Answered {
    let request = Request::get(path).body(Body::empty()).unwrap();
    service.send_from(peer, request).await
}

#[track_caller]
fn kept_out(answered: &Answered) {
    answered.is_problem(StatusCode::FORBIDDEN, "about:blank");
    let detail = answered.body["detail"].as_str().unwrap();
    assert_eq!(detail, "requests from this address are not accepted");
    assert!(
        !answered.headers.contains_key("ratelimit"),
        "it was not even counted"
    );
}

// ---- requests ----

#[tokio::test]
async fn whoever_is_blocked_gets_403_before_anything_else() {
    let service = Service::limited([("client", Quota::per_hour(1))]).await;
    block(&service, "192.0.2.0/24").await;
    let ada = service.bearer("acme", Role::Admin);
    for _ in 0..3 {
        let forged = Request::get("/api/v1/work-items/x").header("authorization", "Bearer a.b.c");
        let good = Request::get("/nothing").header("authorization", &ada);
        let large = Body::from(vec![0; 100_000]);
        for request in [
            forged.body(Body::empty()),
            good.body(Body::empty()),
            Request::post("/").body(large),
            Request::get("/ws").body(Body::empty()),
            Request::get("/api%2fv1").body(Body::empty()),
        ] {
            kept_out(&service.send_from(HERE, request.unwrap()).await);
        }
    }
    assert_eq!(service.app.guard().violations().stats().seen, 0);
    assert_eq!(
        get_from(&service, THERE, "/nothing").await.status,
        StatusCode::NOT_FOUND
    );

    let blocks = service.app.guard().blocks();
    blocks.unblock(cidr("192.0.2.0/24"), "grace").await.unwrap();
    let answered = get_from(&service, HERE, "/nothing").await;
    assert_eq!(
        answered.status,
        StatusCode::NOT_FOUND,
        "nothing was used up"
    );
}

#[tokio::test]
async fn health_is_answered_whoever_asks() {
    let service = Service::new().await;
    block(&service, "0.0.0.0/0").await;
    for peer in [HERE, THERE] {
        let answered = get_from(&service, peer, "/health/live").await;
        assert_eq!(answered.status, StatusCode::OK);
        kept_out(&get_from(&service, peer, "/health/nothing").await);
    }
}

#[tokio::test]
async fn the_fiftieth_refusal_blocks_its_address_and_nobody_else() {
    let service = Service::limited([("client", Quota::per_hour(1))]).await;
    let ask = async |peer, claim: u8| {
        let request = Request::get("/nothing");
        // Nobody believes it.
        let request = request.header("x-forwarded-for", format!("203.0.113.{claim}"));
        service
            .send_from(peer, request.body(Body::empty()).unwrap())
            .await
    };
    assert_eq!(ask(HERE, 1).await.status, StatusCode::NOT_FOUND);
    for refusal in 0..50 {
        let answered = ask(HERE, refusal).await;
        assert_eq!(answered.status, StatusCode::TOO_MANY_REQUESTS, "{refusal}");
    }
    kept_out(&ask(HERE, 1).await);
    assert_eq!(listed(&service), ["192.0.2.1/32"]);
    assert_eq!(ask(THERE, 1).await.status, StatusCode::NOT_FOUND);
    let violations = service.app.guard().violations();
    assert_eq!(violations.top_offenders(9)[0].prefix, cidr("192.0.2.1/32"));

    service.time.advance(Duration::from_secs(15 * 60));
    let answered = ask(HERE, 1).await;
    assert_eq!(answered.status, StatusCode::TOO_MANY_REQUESTS, "it is over");
}

#[tokio::test]
async fn fifty_refusals_in_more_than_ten_minutes_block_nobody() {
    let service = Service::limited([("client", Quota::per_day(1))]).await;
    for _ in 0..200 {
        get_from(&service, HERE, "/nothing").await;
        service.time.advance(Duration::from_millis(12_250));
    }
    assert!(listed(&service).is_empty());
}

#[tokio::test]
async fn behind_a_proxy_the_client_is_blocked_and_who_is_never_to_be_is_not() {
    let guard = GuardSettings {
        never: vec![cidr("203.0.113.0/24")],
        ..quotas([("client", Quota::per_hour(1))])
    };
    let service = Service::guarded(behind_proxies(), guard).await;
    let proxy: IpAddr = [127, 0, 0, 1].into();
    let ask = async |client: &str| {
        let request = Request::get("/nothing").header("x-forwarded-for", client);
        let request = request.body(Body::empty()).unwrap();
        service.send_from(proxy, request).await.status
    };
    for _ in 0..60 {
        ask("6.6.6.6, 198.51.100.7").await;
        ask("203.0.113.9").await;
    }
    assert_eq!(ask("6.6.6.6, 198.51.100.7").await, StatusCode::FORBIDDEN);
    assert_eq!(ask("203.0.113.9").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(ask("6.6.6.6").await, StatusCode::NOT_FOUND);
    block(&service, "203.0.113.9/32").await;
    assert_eq!(ask("203.0.113.9").await, StatusCode::TOO_MANY_REQUESTS);
    let answered = get_from(&service, proxy, "/nothing").await;
    assert_eq!(answered.status, StatusCode::NOT_FOUND, "the proxy itself");
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let guard = GuardSettings {
        automatic: None,
        ..quotas([("client", Quota::per_day(1))])
    };
    let service = Service::guarded(settings(), guard).await;
    for _ in 0..200 {
        get_from(&service, HERE, "/nothing").await;
    }
    assert!(listed(&service).is_empty());
    assert_eq!(service.app.guard().violations().stats().seen, 199);
    block(&service, "192.0.2.1/32").await;
    kept_out(&get_from(&service, HERE, "/nothing").await);
}

// ---- sockets ----

/// A socket of this client that nobody has said hello on.
async fn socket_from(running: &Running, client: &str) -> Result<Socket, StatusCode> {
    let mut request = running.request();
    let headers = request.headers_mut();
    headers.insert("x-forwarded-for", client.parse().unwrap());
    upgrade(request).await.map_err(|response| {
        let body = response.body().as_ref().unwrap();
        let problem: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(problem["status"], response.status().as_u16());
        response.status()
    })
}

/// Hears that it is kept out, in both ways.
async fn expelled(mut socket: Socket) {
    let Said::Goodbye(goodbye) = next(&mut socket).await else {
        panic!("no goodbye");
    };
    assert_eq!((goodbye.close_code, goodbye.retry_after_ms), (4403, 0));
    let Some(Ok(Message::Close(Some(close)))) = socket.next().await else {
        panic!("no close frame");
    };
    assert_eq!(u16::from(close.code), 4403);
    while let Some(Ok(_)) = socket.next().await {}
}

#[tokio::test]
async fn open_sockets_of_a_blocked_address_end_and_those_of_others_go_on() {
    let running = Running::with(behind_proxies()).await;
    let open = async |client| socket_from(&running, client).await.unwrap();
    let (mut good, nameless) = (open("203.0.113.2").await, open("203.0.113.1").await);
    let mut local = running.socket().await;
    let blocks = running.service.app.guard().blocks().clone();
    block(&running.service, "203.0.113.1/32").await;
    expelled(nameless).await;
    let refused = socket_from(&running, "203.0.113.1").await;
    assert_eq!(refused.unwrap_err(), StatusCode::FORBIDDEN);

    say(&mut local, [create_project(2, 1)]).await;
    assert!(matches!(next(&mut local).await, Said::Ok(_)));
    block(&running.service, "127.0.0.1/32").await;
    expelled(local).await;
    good.send(Message::Ping(vec![7].into())).await.unwrap();
    let pong = good.next().await.unwrap().unwrap();
    assert!(matches!(pong, Message::Pong(_)), "{pong:?}");
    blocks
        .unblock(cidr("203.0.113.1/32"), "grace")
        .await
        .unwrap();
    drop(open("203.0.113.1").await);
}

#[tokio::test]
async fn whoever_does_not_close_or_read_is_cut_off() {
    let running = Running::start().await;
    let drain = running.service.app.drain().clone();

    let mut deaf = running.socket().await;
    let mut writer = running.socket_of("grace", "acme").await;
    say(&mut writer, [create_project(2, 1)]).await;
    assert!(matches!(next(&mut writer).await, Said::Ok(_)));
    let large = (0..60).map(|number| {
        let mut story = create_story(3, 1, number);
        if let Some(client_frame::Body::Mutate(mutate)) = &mut story.body
            && let Some(pb::mutate::Operation::CreateItem(item)) = &mut mutate.operation
        {
            item.fields.as_mut().unwrap().description = "x".repeat(60_000);
        }
        story
    });
    for story in large {
        say(&mut writer, [story]).await;
        while !matches!(next(&mut writer).await, Said::Ok(_)) {}
    }
    // More than the kernel keeps for somebody who does not read: a write hangs.
    for id in 10..30 {
        let whole = client_frame::Body::Subscribe(pb::Subscribe::default());
        say(&mut deaf, [frame(id, whole)]).await;
    }
    for _ in 0..200 {
        assert_eq!(running.get("/health/live").await, Some(StatusCode::OK));
    }
    block(&running.service, "127.0.0.1/32").await;
    expelled(writer).await;
    let (mut waited, step) = (Duration::ZERO, Duration::from_millis(250));
    while drain.held(Kind::Socket) > 0 {
        // The time that a write may take has no part in it.
        assert!(waited < SocketSettings::default().write_within / 2);
        waited += step;
        running.service.time.advance(step);
        assert_eq!(running.get("/health/live").await, Some(StatusCode::OK));
    }
}

#[tokio::test]
async fn frames_count_when_their_refusals_are_ignored_and_only_then() {
    let guard = GuardSettings {
        automatic: Some(
            AutoBlock::new().threshold(Threshold::more_than(1, Duration::from_secs(60))),
        ),
        ..quotas([("connection", Quota::per_hour(1))])
    };
    let running = Running::serving(Service::guarded(settings(), guard).await).await;
    let mut calm = running.socket().await;
    // As many as a client may have on their way before it hears of the first refusal.
    say(&mut calm, (0..256).map(|_| create_project(0, 1))).await;
    for closed in 0..2 {
        assert!(listed(&running.service).is_empty(), "{closed}");
        let mut busy = running.socket().await;
        say(&mut busy, (0..1_002).map(|_| create_project(0, 1))).await;
        let Said::Goodbye(goodbye) = next(&mut busy).await else {
            panic!("no goodbye");
        };
        assert_eq!(goodbye.close_code, 4529);
        while let Some(Ok(_)) = busy.next().await {}
    }
    assert_eq!(listed(&running.service), ["127.0.0.1/32"]);
    expelled(calm).await;
    assert!(running.service.app.guard().violations().stats().seen > 2_000);
}

#[tokio::test]
async fn what_is_no_frame_is_not_free() {
    let running = Running::limited([("connection", Quota::per_hour(1).burst(5))]).await;
    let ping = Message::Ping(vec![1; 100].into());
    let pong = Message::Pong(vec![1; 100].into());
    let empty = Message::Binary(Vec::new().into());
    for message in [ping, pong, empty] {
        let mut socket = running.socket().await;
        for _ in 0..1_006 {
            socket.feed(message.clone()).await.unwrap();
        }
        // It may be closed before everything is sent.
        let _ = socket.flush().await;
        let close = loop {
            match socket.next().await.unwrap() {
                Ok(Message::Close(Some(close))) => break close,
                Ok(_) => {}
                Err(error) => panic!("{message:?}: {error}"),
            }
        };
        assert_eq!(u16::from(close.code), 4529, "{message:?}");
    }
}
