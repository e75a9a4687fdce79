//! Rules that change while requests run.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use pm_core::{Clock, PeerAddr};
use pm_ratelimit::{By, Limiter, Quota, RateLimitLayer, Rule, Rules, Stage};
use tower::{Layer, ServiceExt, service_fn};

/// The burst of every version of the rules. One that is smaller would forgive what is owed beyond it.
const BURST: u32 = 20_000;

/// Two rules that always have the same quota: an answer that shows two is of no version.
fn version(rate: u32) -> Rules {
    let quota = Quota::per_day(rate).burst(BURST);
    let rule = || Rule::always().by(By::Client).quota(quota);
    Rules::new().rule("left", rule()).rule("right", rule())
}

/// The quotas that the policies of an answer state.
fn quotas<B>(answer: &Response<B>) -> Vec<&str> {
    answer
        .headers()
        .get_all("ratelimit-policy")
        .iter()
        .flat_map(|value| value.to_str().expect("ASCII").split(", "))
        .map(|policy| policy.split_once(';').expect("a quota").1)
        .collect()
}

/// What it was answered with, and the quota that both policies state.
fn send(layer: &RateLimitLayer) -> (StatusCode, String) {
    let mut request = Request::new(());
    let peer = SocketAddr::new([192, 0, 2, 1].into(), 1);
    request.extensions_mut().insert(PeerAddr(peer));
    let hello = service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let answer = runtime
        .expect("a runtime")
        .block_on(layer.layer(hello).oneshot(request))
        .expect("infallible");
    let quotas = quotas(&answer);
    assert_eq!(quotas.len(), 2, "{quotas:?}");
    assert_eq!(quotas[0], quotas[1], "decided by two versions");
    (answer.status(), quotas[0].to_owned())
}

/// governor #39: to change the quota is to change the limiter, which hands out a fresh burst; and a
/// request that reads the rules twice may see two versions.
#[test]
fn changes_under_load_reset_no_bucket_and_no_request_sees_two_versions() {
    let (clock, _time) = Clock::manual();
    let limiter = Limiter::builder(version(1_000)).clock(clock).build();
    let limiter = limiter.expect("valid rules");
    let layer = limiter.layer(Stage::Edge);
    let (admitted, refused) = (AtomicU32::new(0), AtomicU32::new(0));
    let done = AtomicBool::new(false);

    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    match send(&layer).0 {
                        StatusCode::OK => admitted.fetch_add(1, Ordering::Relaxed),
                        StatusCode::TOO_MANY_REQUESTS => refused.fetch_add(1, Ordering::Relaxed),
                        other => panic!("{other}"),
                    };
                }
            });
        }
        for change in 0..300_u32 {
            let seen = admitted.load(Ordering::Relaxed) + refused.load(Ordering::Relaxed);
            limiter
                .reload(version(1_000 + change % 7))
                .expect("valid rules");
            // Every version decides on something.
            while admitted.load(Ordering::Relaxed) + refused.load(Ordering::Relaxed) == seen {
                thread::yield_now();
            }
        }
        done.store(true, Ordering::Relaxed);
    });

    let stated = [1_001, 1_002].map(|rate| {
        limiter.reload(version(rate)).expect("valid rules");
        send(&layer).1
    });
    assert_ne!(stated[0], stated[1], "an answer shows its version");

    // No time has passed: all that was ever let in is what the burst holds. A token
    // each change is what converting the debt may round away, never in the caller's favour.
    let (admitted, refused) = (admitted.into_inner(), refused.into_inner());
    assert!(admitted <= BURST, "{admitted} were let in");
    assert!(
        admitted + 1_000 >= BURST.min(admitted + refused),
        "{admitted} were let in"
    );
}
