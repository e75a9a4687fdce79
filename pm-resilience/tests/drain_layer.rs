//! Requests that a process waits for before it ends.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use pm_resilience::shutdown::{Drain, Kind, Shutdown, ShutdownSettings};
use pm_testing::{ServiceProbe, contract, drive};
use tower::{Layer, Service, ServiceExt};

fn drain() -> Drain {
    Shutdown::new(ShutdownSettings::new()).unwrap().drain()
}

fn answer(_: Request<()>) -> Response<Full<Bytes>> {
    Response::new(Full::new(Bytes::from_static(b"all of it")))
}

#[test]
fn it_passes_readiness_through_and_leaves_nothing_behind() {
    let layer = drain().layer();
    contract::passes_readiness_through(&layer, answer);
    contract::calls_the_readied_instance(&layer, answer, || Request::new(()));
    contract::clones_are_independent(&layer, answer, || Request::new(()));
    contract::cancelling_leaves_nothing_behind(&layer, answer, || Request::new(()));
}

#[test]
fn a_request_is_under_way_until_the_body_of_its_response_has_ended() {
    let drain = drain();
    let (probe, handle) = ServiceProbe::new(answer);
    let mut service = drain.layer().layer(probe);
    let held = || drain.held(Kind::Request);

    handle.hold_answers();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    assert_eq!(held(), 0, "an idle connection is nothing under way");
    {
        let mut call = pin!(service.call(Request::new(())));
        assert!(call.as_mut().poll(&mut cx).is_pending());
        assert_eq!(held(), 1);
        handle.release_answers();
        let Poll::Ready(Ok(response)) = call.as_mut().poll(&mut cx) else {
            panic!("it was answered");
        };
        assert_eq!(held(), 1, "its body is still to come");
        let mut body = pin!(response.into_body());
        assert!(body.as_mut().poll_frame(&mut cx).is_ready());
        assert!(matches!(body.poll_frame(&mut cx), Poll::Ready(None)));
        assert_eq!(held(), 0);
    }

    let whole = drive(async {
        let response = service.clone().oneshot(Request::new(())).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    });
    assert_eq!((&whole[..], held()), (&b"all of it"[..], 0));

    handle.fail_answers();
    assert!(drive(service.oneshot(Request::new(()))).is_err());
    assert_eq!(held(), 0);
}
