//! Who may do how much, through the whole stack: at the edge, by user, frame by frame, and how many
//! sockets at the same time.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use axum::body::Body;
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode};
use pm_core::TrustedProxies;
use pm_ratelimit::Quota;
use pm_server::{
    auth::Role,
    r#gen::{self as pb, Code, server_frame},
    stack::StackSettings,
};
use serde_json::{Value, json};
use socket2::SockRef;
use support::{
    peer::create_story,
    running::{Running, Socket, next, say, upgrade},
    service::{Answered, Service, id, quotas, settings},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_tungstenite::{MaybeTlsStream, tungstenite::Message};

const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

/// An item that is not there, asked for by `bearer`, from `peer`.
async fn ask(service: &Service, peer: IpAddr, bearer: &str) -> Answered {
    ask_for(service, peer, bearer, &format!("work-items/{}", id(1))).await
}

async fn ask_for(service: &Service, peer: IpAddr, bearer: &str, what: &str) -> Answered {
    let request = Request::get(format!("/api/v1/{what}")).header("authorization", bearer);
    let request = request.body(Body::empty()).unwrap();
    service.send_from(peer, request).await
}

#[track_caller]
fn refused_by(answered: &Answered, policy: &str) {
    answered.is_problem(StatusCode::TOO_MANY_REQUESTS, QUOTA_EXCEEDED);
    assert_eq!(answered.body["violated-policies"], json!([policy]));
    assert_ne!(answered.headers["retry-after"], "0");
}

// ---- requests ----

#[tokio::test]
async fn at_the_edge_an_address_is_refused_before_anybody_is_known() {
    let service = Service::limited([("client", Quota::per_minute(2))]).await;
    let ada = service.bearer("acme", Role::Admin);
    for forged in ["Bearer a.b.c", "Basic x"] {
        let answered = ask(&service, HERE, forged).await;
        assert_eq!(answered.status, StatusCode::UNAUTHORIZED);
    }
    for bearer in ["Bearer a.b.c", &ada] {
        let answered = ask(&service, HERE, bearer).await;
        refused_by(&answered, "client");
        assert_eq!(answered.headers["retry-after"], "30");
        assert_eq!(answered.headers["ratelimit"], r#""client";r=0;t=30"#);
        assert_eq!(answered.headers["ratelimit-policy"], r#""client";q=2;w=60"#);
    }
    let answered = ask(&service, ELSEWHERE, &ada).await;
    assert_eq!(answered.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn behind_authentication_a_user_is_refused_from_whatever_address() {
    let service = Service::limited([("user", Quota::per_minute(2))]).await;
    let ada = service.bearer_of("ada", "acme", Role::Viewer);
    let bob = service.bearer_of("bob", "acme", Role::Viewer);
    for peer in [HERE, ELSEWHERE] {
        let answered = ask(&service, peer, &ada).await;
        assert_eq!(answered.status, StatusCode::NOT_FOUND);
    }
    let answered = ask(&service, [203, 0, 113, 7].into(), &ada).await;
    refused_by(&answered, "user");
    let policies = answered.headers.get_all("ratelimit-policy").iter();
    let policies: Vec<_> = policies.map(|value| value.to_str().unwrap()).collect();
    assert!(
        policies.contains(&r#""user";q=2;w=60"#) && policies.contains(&r#""client";q=1500;w=60"#),
        "both stages say theirs: {policies:?}"
    );
    assert_eq!(
        ask(&service, HERE, &bob).await.status,
        StatusCode::NOT_FOUND
    );
    let nobody = service.get("/api/v1/work-items/x", None).await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED, "{nobody:?}");

    service.time.advance(Duration::from_secs(30));
    assert_eq!(
        ask(&service, HERE, &ada).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn an_editor_has_three_times_as_much_and_an_admin_five_times() {
    let service = Service::limited([("user", Quota::per_minute(2))]).await;
    for (role, times) in [(Role::Viewer, 1), (Role::Editor, 3), (Role::Admin, 5)] {
        let bearer = service.bearer_of(role.as_str(), "acme", role);
        for _ in 0..2 * times {
            let answered = ask(&service, HERE, &bearer).await;
            assert_eq!(answered.status, StatusCode::NOT_FOUND, "{role}");
        }
        refused_by(&ask(&service, HERE, &bearer).await, "user");
    }
}

#[tokio::test]
async fn the_same_name_in_two_tenants_is_two_users() {
    let service = Service::limited([("user", Quota::per_hour(1))]).await;
    for tenant in ["acme", "beta"] {
        let ada = service.bearer_of("ada", tenant, Role::Viewer);
        let answered = ask(&service, HERE, &ada).await;
        assert_eq!(answered.status, StatusCode::NOT_FOUND, "{tenant}");
        refused_by(&ask(&service, HERE, &ada).await, "user");
    }
    // Not by putting the two names together, either.
    for (subject, tenant) in [("ada", "b"), ("bada", ""), ("a", "bad")] {
        let bearer = service.bearer_of(subject, tenant, Role::Viewer);
        let answered = ask(&service, HERE, &bearer).await;
        assert_ne!(
            answered.status,
            StatusCode::TOO_MANY_REQUESTS,
            "{tenant}/{subject}"
        );
    }
}

#[tokio::test]
async fn what_is_expensive_has_a_limit_of_its_own() {
    let quotas = [
        ("context", Quota::per_minute(1)),
        ("upgrade", Quota::per_minute(1)),
    ];
    let service = Service::limited(quotas).await;
    let ada = service.bearer("acme", Role::Viewer);
    // Whichever project it is: it is the route that counts.
    let context = |project: u8| format!("projects/{}/context", id(project));
    let answered = ask_for(&service, HERE, &ada, &context(1)).await;
    assert_eq!(answered.status, StatusCode::NOT_FOUND);
    refused_by(&ask_for(&service, HERE, &ada, &context(2)).await, "context");
    assert_eq!(
        ask(&service, HERE, &ada).await.status,
        StatusCode::NOT_FOUND
    );

    let answered = service.get("/ws", None).await;
    assert_eq!(answered.status, StatusCode::BAD_REQUEST, "no upgrade");
    refused_by(&service.get("/ws", None).await, "upgrade");
    let answered = service.get("/nothing", None).await;
    assert_eq!(answered.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_path_that_can_be_read_in_two_ways_is_refused() {
    let service = Service::new().await;
    for path in ["/api%2fv1", "/api/v1/%5cws", "/.."] {
        let answered = service.get(path, None).await;
        answered.is_problem(StatusCode::BAD_REQUEST, "about:blank");
    }
}

// ---- frames, of which a change takes two tokens ----

/// Tries to change something; the error, if there is one.
async fn change(socket: &mut Socket) -> Option<pb::Error> {
    // There is no such project, so that nothing comes of it: what matters is whether it is decided.
    say(socket, [create_story(7, 1, 1)]).await;
    let server_frame::Body::Error(error) = next(socket).await else {
        panic!("no project, and yet no error")
    };
    (error.code() != Code::NotFound).then_some(error)
}

#[track_caller]
fn refused(error: Option<pb::Error>, limit: &str, wait: Duration) {
    let error = error.expect("a refusal");
    assert_eq!(error.code(), Code::RateLimited, "{error:?}");
    assert!(error.message.contains(&format!("{limit:?}")), "{error:?}");
    assert!(error.temporary);
    assert_eq!(u128::from(error.retry_after_ms), wait.as_millis());
}

#[tokio::test]
async fn a_connection_is_refused_while_others_of_the_same_user_go_on() {
    let running = Running::limited([("connection", Quota::per_second(1).burst(4))]).await;
    let (mut busy, mut other) = (running.socket().await, running.socket().await);
    for _ in 0..2 {
        assert_eq!(change(&mut busy).await, None);
    }
    let wait = Duration::from_secs(2);
    refused(change(&mut busy).await, "connection", wait);
    assert_eq!(change(&mut other).await, None);

    running.service.time.advance(wait);
    assert_eq!(
        change(&mut busy).await,
        None,
        "who waits as told is let through"
    );
    refused(change(&mut busy).await, "connection", wait);
}

#[tokio::test]
async fn a_user_is_refused_on_all_connections_together() {
    let quotas = [
        ("frames", Quota::per_second(1).burst(4)),
        ("connection", Quota::per_hour(1).burst(6)),
    ];
    let running = Running::limited(quotas).await;
    let (mut one, mut two) = (running.socket().await, running.socket().await);
    assert_eq!(change(&mut one).await, None);
    assert_eq!(change(&mut two).await, None);
    let wait = Duration::from_secs(2);
    for _ in 0..5 {
        refused(change(&mut one).await, "frames", wait);
        refused(change(&mut two).await, "frames", wait);
    }
    let mut bob = running.socket_of("bob", "acme").await;
    assert_eq!(change(&mut bob).await, None, "another user");
    let mut namesake = running.socket_of("ada", "beta").await;
    assert_eq!(change(&mut namesake).await, None, "another tenant");

    // The refusals took nothing from the connection, which has next to no rate.
    for _ in 0..2 {
        running.service.time.advance(wait);
        assert_eq!(change(&mut one).await, None);
    }
    running.service.time.advance(wait);
    let error = change(&mut one).await.expect("it is used up now");
    assert!(error.message.contains("\"connection\""), "{error:?}");
}

// ---- sockets at the same time ----

/// So many sockets for each address; as many upgrades as they like. Proxies on this machine are
/// believed.
async fn at_most(connections: u32) -> Running {
    let often = Quota::per_second(1_000_000);
    let stack = StackSettings {
        connections: NonZeroU32::new(connections).unwrap(),
        trusted_proxies: TrustedProxies::cidrs(["127.0.0.0/8"]).unwrap(),
        ..settings()
    };
    let guard = quotas([("client", often), ("upgrade", often)]);
    Running::serving(Service::guarded(stack, guard).await).await
}

/// A socket from there, or the problem that is the answer.
async fn socket_from(running: &Running, address: &str) -> Result<Socket, Value> {
    let mut request = running.request();
    let headers = request.headers_mut();
    headers.insert("x-forwarded-for", address.parse().unwrap());
    upgrade(request).await.map_err(|response| {
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(
            response.headers()["ratelimit-policy"],
            r#""connections";q=2;qu="concurrent-requests""#.replace('2', &limit_in(&response))
        );
        assert!(!response.headers().contains_key("retry-after"));
        serde_json::from_slice(response.body().as_ref().unwrap()).unwrap()
    })
}

fn limit_in(response: &http::Response<Option<Vec<u8>>>) -> String {
    let problem: Value = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
    let detail = problem["detail"].as_str().unwrap().to_owned();
    detail.chars().filter(char::is_ascii_digit).collect()
}

#[tokio::test]
async fn an_address_has_so_many_sockets_and_an_ipv6_address_is_its_64() {
    let running = at_most(2).await;
    let mut open = Vec::new();
    for (address, neighbours) in [
        ("203.0.113.1", ["203.0.113.1", "::ffff:203.0.113.1"]),
        ("2001:db8::1", ["2001:db8::2", "2001:db8::ffff:1:2:3"]),
        ("2001:db8:0:1::1", ["2001:db8:0:1::2", "2001:db8:0:1::3"]),
    ] {
        for _ in 0..2 {
            open.push(socket_from(&running, address).await.expect("a socket"));
        }
        for neighbour in neighbours {
            let problem = socket_from(&running, neighbour).await.expect_err("full");
            assert_eq!(problem["type"], QUOTA_EXCEEDED);
            assert_eq!(problem["violated-policies"], json!(["connections"]));
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                detail.contains("there are 2 sockets from this address"),
                "{detail}"
            );
        }
    }
    // What is no socket needs no leave.
    assert_eq!(running.get("/nothing").await, Some(StatusCode::NOT_FOUND));
}

/// Waits until there is room for a socket: each look is a round trip, which lets the server go on.
async fn room(running: &Running, way: &str) -> Socket {
    for _ in 0..10_000 {
        match socket_from(running, "203.0.113.1").await {
            Ok(socket) => return socket,
            Err(_) => running.service.time.advance(Duration::from_millis(10)),
        }
    }
    panic!("{way}: the permit was not given back");
}

/// `None` means that the other end vanishes: it stays open and says nothing any more.
async fn end(mut socket: Socket, way: &str) -> Option<Socket> {
    match way {
        "a close that is answered" => {
            socket.close(None).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        }
        "a drop without a close" => drop(socket),
        "a reset, as when its process is killed with something unread" => {
            let MaybeTlsStream::Plain(stream) = socket.get_ref() else {
                panic!("no TLS here")
            };
            SockRef::from(stream)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            drop(socket);
        }
        "a close by the server" => {
            socket.send(Message::text("not binary")).await.unwrap();
            while let Some(Ok(_)) = socket.next().await {}
        }
        "half a frame, and gone" => {
            let MaybeTlsStream::Plain(mut stream) = socket.into_inner() else {
                panic!("no TLS here")
            };
            stream.write_all(&[0x82, 0xfe, 0xff]).await.unwrap();
        }
        "silence" => return Some(socket),
        other => panic!("{other}"),
    }
    None
}

#[tokio::test]
async fn a_permit_is_given_back_however_a_socket_ends() {
    let running = at_most(1).await;
    let mut socket = room(&running, "the first").await;
    for way in [
        "a close that is answered",
        "a drop without a close",
        "a reset, as when its process is killed with something unread",
        "a close by the server",
        "half a frame, and gone",
        "silence",
    ] {
        let full = socket_from(&running, "203.0.113.1").await;
        assert!(full.is_err(), "before {way}");
        let silent = end(socket, way).await;
        socket = room(&running, way).await;
        drop(silent);
    }
}

#[tokio::test]
async fn an_upgrade_that_comes_to_nothing_gives_its_permit_back() {
    let running = at_most(1).await;
    for rest in [
        // Gone before the answer is read.
        "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        // No upgrade at all.
        "\r\n",
        // From a page that may not.
        "origin: https://evil.example\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        let head = "GET /ws HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 203.0.113.1\r\n\
                    connection: upgrade\r\nupgrade: websocket\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(rest.as_bytes()).await.unwrap();
        drop(stream);
        let socket = room(&running, rest).await;
        let _ = end(socket, "a close that is answered").await;
        drop(room(&running, "between").await);
    }
}
