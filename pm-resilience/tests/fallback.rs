//! Another answer, for a bounded number of calls.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::future::{Future, pending, ready};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use pm_resilience::Fallback;
use pm_testing::{ProbeError, ServiceProbe, drive};
use tower::{Layer, ServiceExt};

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn only_an_error_takes_the_other_way_and_it_may_return_it() {
    let fallback = Fallback::new("prices", 5);
    let run = |primary: Result<u8, &'static str>| {
        drive(fallback.run(ready(primary), |error| {
            ready(if error == "down" { Ok(100) } else { Err(error) })
        }))
    };
    assert_eq!(run(Ok(1)), Ok(1));
    assert_eq!(run(Err("down")), Ok(100));
    assert_eq!(run(Err("no such price")), Err("no such price"));
}

#[test]
fn beyond_its_bound_a_call_has_its_error_and_a_dropped_one_makes_room() {
    let fallback = Fallback::new("prices", 2);
    let hang = |()| pending::<Result<u8, ()>>();
    let fails = || ready(Err::<u8, ()>(()));
    let mut first = pin!(fallback.run(fails(), hang));
    assert!(poll(first.as_mut()).is_pending());
    {
        let mut second = pin!(fallback.run(fails(), hang));
        assert!(poll(second.as_mut()).is_pending());
        let third = poll(pin!(fallback.run(fails(), |()| ready(Ok(7)))));
        assert_eq!(third, Poll::Ready(Err(())));
    }
    let fourth = poll(pin!(fallback.run(fails(), |()| ready(Ok(7)))));
    assert_eq!(fourth, Poll::Ready(Ok(7)));
    let fifth = poll(pin!(fallback.run(fails(), |()| ready(Ok(8)))));
    assert_eq!(fifth, Poll::Ready(Ok(8)), "a permit ends with its answer");
}

#[test]
fn one_that_is_not_used_holds_no_permit() {
    let fallback = Fallback::new("prices", 1);
    let waits = |()| ready(Ok::<u8, ()>(7));
    let mut primary = pin!(fallback.run(pending::<Result<u8, ()>>(), waits));
    assert!(poll(primary.as_mut()).is_pending());
    let other = poll(pin!(fallback.run(ready(Err(())), waits)));
    assert_eq!(other, Poll::Ready(Ok(7)));
}

#[test]
fn the_layer_answers_errors_of_the_call_and_of_readiness() {
    let layer = Fallback::new("prices", 1).layer(|_: ProbeError| ready(Ok(100)));
    let (probe, handle) = ServiceProbe::new(|n: u8| n);
    let call = || drive(layer.layer(probe.clone()).oneshot(7));
    assert_eq!(call(), Ok(7));
    handle.fail_answers();
    assert_eq!(call(), Ok(100));
    handle.fail_readiness();
    assert_eq!(call(), Ok(100));
    assert_eq!((handle.in_flight(), handle.reserved()), (0, 0));
}
