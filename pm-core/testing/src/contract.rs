//! What tower asks of a layer, as functions that panic where it is broken: of one that lets requests
//! in, and of one that makes calls ([`waits_within_the_call`]).
//!
//! Each builds the layer around a fresh [`ServiceProbe`]. `respond` is what the probe answers, and
//! `request` makes a request of the kind that the function speaks of.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use tower_layer::Layer;
use tower_service::Service;

use crate::{ProbeError, ProbeHandle, ServiceProbe, drive};

/// The layer is ready exactly when its inner service is, passes its error on, and wakes whoever
/// waits; being asked twice reserves nothing twice.
///
/// # Panics
///
/// If it does not.
pub fn passes_readiness_through<L, Req, Res>(
    layer: &L,
    respond: impl Fn(Req) -> Res + Send + Sync + 'static,
) where
    L: Layer<ServiceProbe<Req, Res>>,
    Req: 'static,
    Res: 'static,
    L::Service: Service<Req, Error = ProbeError>,
{
    let (mut service, probe) = build(layer, respond);
    probe.hold_readiness();
    let woken = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let asked = service.poll_ready(&mut Context::from_waker(&waker));
    assert!(
        asked.is_pending(),
        "ready although the inner service is not"
    );
    probe.grant_readiness();
    assert!(
        woken.0.load(Ordering::SeqCst),
        "not woken when the inner service became ready"
    );
    ready(&mut service);
    ready(&mut service);
    assert_eq!(probe.readied(), 1, "asking twice reserved twice");
    assert_eq!(probe.calls(), 0, "called before there was a request");

    let (mut service, probe) = build(layer, respond_never::<Req, Res>);
    probe.fail_readiness();
    let asked = service.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert_eq!(
        asked,
        Poll::Ready(Err(ProbeError::Readiness)),
        "the inner service's failure was not passed on"
    );
}

/// A layer that makes calls is always ready, and reserves nothing for that; it waits for the inner
/// service within the call, whose failure to become ready is an end of the call like any other.
///
/// `request` makes one that the layer passes on without having to wait for anything else.
///
/// # Panics
///
/// If it does not.
pub fn waits_within_the_call<L, Req, Inner, Res>(
    layer: &L,
    respond: impl Fn(Inner) -> Res + Clone + Send + Sync + 'static,
    request: impl Fn() -> Req,
) where
    L: Layer<ServiceProbe<Inner, Res>>,
    L::Service: Service<Req, Error: Debug> + Clone,
{
    let mut cx = Context::from_waker(Waker::noop());
    let (service, probe) = build(layer, respond.clone());
    probe.hold_readiness();
    let mut idle: Vec<_> = (0..100).map(|_| service.clone()).collect();
    for service in &mut idle {
        let asked = service.poll_ready(&mut cx);
        assert!(
            matches!(asked, Poll::Ready(Ok(()))),
            "not ready by itself: {asked:?}"
        );
    }
    assert_eq!(probe.polls(), 0, "the inner service was asked for nobody");

    let mut service = service;
    {
        let mut call = pin!(service.call(request()));
        assert!(call.as_mut().poll(&mut cx).is_pending());
        assert_eq!(probe.calls(), 0, "called although it was not ready");
        probe.grant_readiness();
        assert!(
            matches!(call.as_mut().poll(&mut cx), Poll::Ready(Ok(_))),
            "not answered although it is ready"
        );
        assert_eq!(
            (probe.calls(), probe.readied(), probe.reserved()),
            (1, 1, 0),
            "not one instance for one call"
        );
    }

    probe.hold_readiness();
    {
        let mut call = pin!(service.call(request()));
        assert!(call.as_mut().poll(&mut cx).is_pending());
    }
    probe.grant_readiness();
    assert_eq!(
        (probe.calls(), probe.reserved(), probe.in_flight()),
        (1, 0, 0),
        "a call that was dropped left something behind"
    );

    let (mut service, probe) = build(layer, respond);
    probe.fail_readiness();
    let mut call = pin!(service.call(request()));
    assert!(
        matches!(call.as_mut().poll(&mut cx), Poll::Ready(Err(_))),
        "the inner service's failure did not end the call"
    );
    assert_eq!(probe.calls(), 0, "called although it was not ready");
}

/// A request that is let in reaches the very instance that was asked whether it is ready.
///
/// # Panics
///
/// If it does not.
pub fn calls_the_readied_instance<L, Req, Res>(
    layer: &L,
    respond: impl Fn(Req) -> Res + Send + Sync + 'static,
    request: impl Fn() -> Req,
) where
    L: Layer<ServiceProbe<Req, Res>>,
    L::Service: Service<Req, Error = ProbeError>,
{
    let (mut service, probe) = build(layer, respond);
    for calls in 1..=2 {
        ready(&mut service);
        let answer = drive(service.call(request()));
        assert!(answer.is_ok(), "an admitted request failed");
        assert_eq!(
            probe.calls(),
            calls,
            "the request did not reach the inner service once"
        );
        assert_eq!(
            probe.readied(),
            calls,
            "another instance was made ready for the call"
        );
        assert_eq!(
            probe.reserved(),
            0,
            "something stays reserved behind the call"
        );
    }

    ready(&mut service);
    probe.fail_answers();
    let answer = drive(service.call(request()));
    assert_eq!(
        answer.err(),
        Some(ProbeError::Call),
        "the inner service's error was not passed on"
    );
}

/// A request that is refused drops the readied inner service, so that what it had reserved is free
/// before the answer has even been read, and the layer can be used again.
///
/// # Panics
///
/// If it does not.
pub fn refusal_releases_the_inner<L, Req, Res>(
    layer: &L,
    respond: impl Fn(Req) -> Res + Send + Sync + 'static,
    request: impl Fn() -> Req,
) where
    L: Layer<ServiceProbe<Req, Res>>,
    L::Service: Service<Req, Error = ProbeError>,
{
    let (mut service, probe) = build(layer, respond);
    for readied in 1..=2 {
        ready(&mut service);
        assert_eq!(
            probe.reserved(),
            1,
            "the inner service is not the one that was asked"
        );
        let answer = drive(service.call(request()));
        assert!(answer.is_ok(), "a refusal is an answer, not an error");
        assert_eq!(
            probe.calls(),
            0,
            "a refused request reached the inner service"
        );
        assert_eq!(
            probe.reserved(),
            0,
            "a refusal keeps the inner service reserved"
        );
        assert_eq!(probe.readied(), readied, "a refusal made an instance ready");
    }
}

/// A clone has readiness of its own, and dropping it takes nothing from the original.
///
/// # Panics
///
/// If it does not.
pub fn clones_are_independent<L, Req, Res>(
    layer: &L,
    respond: impl Fn(Req) -> Res + Send + Sync + 'static,
    request: impl Fn() -> Req,
) where
    L: Layer<ServiceProbe<Req, Res>>,
    L::Service: Service<Req, Error = ProbeError> + Clone,
{
    let (mut service, probe) = build(layer, respond);
    ready(&mut service);
    let mut clone = service.clone();
    assert_eq!(probe.reserved(), 1, "cloning reserved something");
    ready(&mut clone);
    assert_eq!(
        probe.reserved(),
        2,
        "the clone shares the original's readiness"
    );
    drop(clone);
    assert_eq!(
        probe.reserved(),
        1,
        "dropping the clone released the original"
    );
    assert!(drive(service.call(request())).is_ok());
    assert_eq!(probe.reserved(), 0);
}

/// Dropping the response future drops the inner one, started or not, and leaves nothing reserved.
///
/// # Panics
///
/// If it does not.
pub fn cancelling_leaves_nothing_behind<L, Req, Res>(
    layer: &L,
    respond: impl Fn(Req) -> Res + Send + Sync + 'static,
    request: impl Fn() -> Req,
) where
    L: Layer<ServiceProbe<Req, Res>>,
    L::Service: Service<Req, Error = ProbeError>,
{
    let (mut service, probe) = build(layer, respond);
    ready(&mut service);
    drop(service.call(request()));
    assert_eq!(
        (probe.in_flight(), probe.reserved()),
        (0, 0),
        "after a drop before any poll"
    );

    probe.hold_answers();
    ready(&mut service);
    {
        let mut answer = pin!(service.call(request()));
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..10 {
            assert!(
                answer.as_mut().poll(&mut cx).is_pending(),
                "answered by itself"
            );
        }
        assert_eq!(
            probe.in_flight(),
            1,
            "the request did not reach the inner service"
        );
    }
    assert_eq!(
        (probe.in_flight(), probe.reserved()),
        (0, 0),
        "after a drop in flight"
    );
    assert!(probe.cancelled() >= 1, "the inner future was not dropped");
}

fn build<L, Req, Res>(
    layer: &L,
    respond: impl Fn(Req) -> Res + Send + Sync + 'static,
) -> (L::Service, ProbeHandle)
where
    L: Layer<ServiceProbe<Req, Res>>,
{
    let (probe, handle) = ServiceProbe::new(respond);
    (layer.layer(probe), handle)
}

fn ready<S, Req>(service: &mut S)
where
    S: Service<Req>,
    S::Error: Debug + PartialEq,
{
    let asked = service.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert_eq!(
        asked,
        Poll::Ready(Ok(())),
        "not ready although the inner service is"
    );
}

fn respond_never<Req, Res>(_: Req) -> Res {
    unreachable!("a service that is not ready was called")
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use tower_layer::layer_fn;

    use super::*;

    #[test]
    fn a_layer_that_does_nothing_keeps_the_contract() {
        let layer = layer_fn(|inner: ServiceProbe<u8, u8>| inner);
        passes_readiness_through(&layer, |n: u8| n);
        calls_the_readied_instance(&layer, |n: u8| n, || 1);
        clones_are_independent(&layer, |n: u8| n, || 1);
        cancelling_leaves_nothing_behind(&layer, |n: u8| n, || 1);
    }

    #[derive(Clone)]
    struct CallsAClone(ServiceProbe<u8, u8>);

    impl Service<u8> for CallsAClone {
        type Response = u8;
        type Error = ProbeError;
        type Future = crate::ProbeFuture<u8>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProbeError>> {
            self.0.poll_ready(cx)
        }

        fn call(&mut self, request: u8) -> Self::Future {
            self.0.clone().call(request)
        }
    }

    #[test]
    #[should_panic(expected = "called without readiness")]
    fn the_commonest_mistake_is_found() {
        calls_the_readied_instance(&layer_fn(CallsAClone), |n: u8| n, || 1);
    }
}
