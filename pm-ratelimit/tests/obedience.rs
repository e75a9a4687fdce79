//! Clients that wait as they are told are never refused again.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use pm_core::{Clock, PeerAddr, ResponseBody};
use pm_ratelimit::caller::Cost;
use pm_ratelimit::{By, Limiter, Quota, RateLimitLayer, Rule, Rules, Stage};
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};

async fn send(layer: &RateLimitLayer, cost: u32) -> Response<ResponseBody<Full<Bytes>>> {
    let hello = |_| async { Ok::<_, Infallible>(Response::new(Full::from("hello"))) };
    let peer = PeerAddr(SocketAddr::new(IpAddr::from([192, 0, 2, 1]), 1));
    let request = Request::get("/").extension(peer).extension(Cost(cost));
    let request = request.body(()).expect("a request");
    let answer = layer.layer(service_fn(hello)).oneshot(request).await;
    answer.expect("infallible")
}

fn seconds(answer: &Response<ResponseBody<Full<Bytes>>>) -> u64 {
    let told = answer.headers().get("retry-after");
    let told = told.expect("waiting helps").to_str().expect("ASCII");
    told.parse().expect("whole seconds")
}

fn quotas() -> impl Strategy<Value = Quota> {
    let periods = prop::sample::select(vec![1, 7, 100, 999, 1_000, 1_500, 60_000, 3_600_000]);
    (1u32..2_000, periods, 3u32..9).prop_filter_map("a quota", |(tokens, millis, burst)| {
        Quota::try_new(tokens, Duration::from_millis(millis), burst).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// 500 pairs of quotas, 200 refusals of each: 100,000 waits in whole seconds, as the header of
    /// the layer tells them, whatever the fraction of a second in which they are told.
    #[test]
    fn whoever_waits_as_the_header_says_is_never_refused_again(
        client in quotas(),
        everyone in quotas(),
        steps in proptest::collection::vec((1u32..=3, 0u64..1_000_000_000), 200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (clock, time) = Clock::manual();
        let rules = Rules::new()
            .rule("client", Rule::always().by(By::Client).quota(client))
            .rule("everyone", Rule::always().by(By::Everyone).quota(everyone));
        let limiter = Limiter::builder(rules).clock(clock).build().expect("valid rules");
        let layer = limiter.layer(Stage::Edge);
        runtime.block_on(async {
            for (cost, nanos) in steps {
                // Into any fraction of a second, and then until it is refused.
                time.advance(Duration::from_nanos(nanos % 1_000_000));
                let refused = loop {
                    let answer = send(&layer, cost).await;
                    if answer.status() == StatusCode::TOO_MANY_REQUESTS {
                        break answer;
                    }
                };
                let wait = seconds(&refused);
                prop_assert!(wait >= 1);
                time.advance(Duration::from_secs(wait));
                prop_assert_eq!(send(&layer, cost).await.status(), StatusCode::OK);
            }
            Ok(())
        })?;
    }
}
