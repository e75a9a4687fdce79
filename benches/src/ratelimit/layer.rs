//! The whole layer around a service that answers at once. Requests are made before.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum_core_0_4::extract::FromRequestParts;
use futures_util::FutureExt;
use http::request::Parts;
use http::{Request, Response};
use pm_core::{Clock, PeerAddr};
use pm_ratelimit::headers::Headers;
use pm_ratelimit::{By, Limiter, MemoryStore, RateLimitLayer, Rule, Rules, Stage};
use tower::{Layer, Service, service_fn};
use tower_governor::GovernorLayer;
use tower_governor::governor::GovernorConfigBuilder;

use super::decision::admitted;
use super::peers::{GENEROUS, axum_gcra_quota};
use crate::harness::{Batches, Race, Work};

const REQUESTS: u64 = 1 << 18;

/// As many addresses as a busy service sees at a time.
const CLIENTS: u64 = 10_000;

pub(super) fn plain() -> Race {
    let governor = GovernorConfigBuilder::default()
        .period(Duration::from_micros(1))
        .burst_size(u32::MAX)
        .finish()
        .expect("a period and a burst");
    let axum_gcra = axum_gcra::RateLimitLayer::<Peer>::builder()
        .with_default_quota(axum_gcra_quota())
        .with_gc_interval(u64::MAX)
        .build();
    Race::new(calls(ours(Headers::none()).layer(service_fn(hello))))
        .against(
            "tower_governor",
            calls(GovernorLayer::new(governor).layer(service_fn(hello))),
        )
        .against("axum_gcra", calls(axum_gcra.layer(service_fn(hello))))
}

pub(super) fn with_headers() -> Race {
    let governor = GovernorConfigBuilder::default()
        .period(Duration::from_micros(1))
        .burst_size(u32::MAX)
        .use_headers()
        .finish()
        .expect("a period and a burst");
    Race::new(calls(ours(Headers::default()).layer(service_fn(hello))))
        .against(
            "tower_governor",
            calls(GovernorLayer::new(governor).layer(service_fn(hello))),
        )
        .at_most(0.6)
}

/// Each client, by its address.
fn ours(headers: Headers) -> RateLimitLayer {
    let rules = Rules::new().rule("client", Rule::always().by(By::Client).quota(GENEROUS));
    let limiter = Limiter::builder(rules)
        .store(MemoryStore::bounded(CLIENTS as usize))
        .clock(Clock::counter())
        .headers(headers)
        .build();
    limiter.expect("valid rules").layer(Stage::Edge)
}

fn hello(_: Request<()>) -> Ready<Result<Response<Body>, Infallible>> {
    ready(Ok(Response::new(Body::empty())))
}

/// Calls `service` with a request of one client after the other.
fn calls<S, B>(mut service: S) -> impl Work
where
    S: Service<Request<()>, Response = Response<B>>,
{
    Batches::new(REQUESTS, request, move |request| {
        let answer = service.call(request).now_or_never();
        let answer = answer.expect("nothing in it has to be waited for");
        admitted(answer.as_ref().is_ok_and(|answer| answer.status() == 200));
        answer
    })
}

/// With the address of its connection, in each of the places where it is looked for.
fn request(number: u64) -> Request<()> {
    let client = Ipv4Addr::from_bits(0x0a00_0000 + (number % CLIENTS) as u32);
    let peer = SocketAddr::from((client, 50_000));
    Request::get("/projects/7/tasks")
        .extension(PeerAddr(peer))
        .extension(ConnectInfo(peer))
        .body(())
        .expect("a request")
}

/// What axum_gcra finds whose request it is by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Peer(IpAddr);

#[async_trait]
impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = axum_core_0_4::response::Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        match parts.extensions.get() {
            Some(PeerAddr(peer)) => Ok(Self(peer.ip())),
            None => Err(axum_core_0_4::response::Response::default()),
        }
    }
}
