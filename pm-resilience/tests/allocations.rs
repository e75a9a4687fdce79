//! A call that is ready at once allocates nothing, whatever guards it.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pm_resilience::classify::Errors;
use pm_resilience::{
    BreakerSettings, Budget, BulkheadSettings, Class, Fallback, Hedge, HedgeSettings,
    LimitSettings, Policy, Retry, RetrySettings, ShedSettings, Timeout, Timeouts,
};

fn allocated<F: Future>(mut make: impl FnMut() -> F) -> u64 {
    let mut cx = Context::from_waker(Waker::noop());
    let mut call = || {
        let future = pin!(make());
        assert!(matches!(future.poll(&mut cx), Poll::Ready(_)));
    };
    // The first one of a thread makes its place in the list of those who read settings.
    call();
    allocation_counter::measure(|| (0..100).for_each(|_| call())).count_total
}

#[test]
fn a_ready_call_allocates_nothing() {
    let answer = || ready(Ok::<u8, u8>(7));
    let budget = Budget::percent(20).with_floor_per_second(10);
    let ms = Duration::from_millis;

    let timeout = Timeout::new("t", Timeouts::new()).unwrap();
    assert_eq!(allocated(|| timeout.run(Class::Read, answer())), 0);

    let retry = Retry::new("r", RetrySettings::new(), budget.clone()).unwrap();
    assert_eq!(allocated(|| retry.run(Errors, answer)), 0);

    let hedge = Hedge::new("h", HedgeSettings::after(ms(10)), budget).unwrap();
    assert_eq!(allocated(|| hedge.run(Errors, answer)), 0);

    let fallback = Fallback::new("f", 1);
    assert_eq!(allocated(|| fallback.run(answer(), |_| answer())), 0);
    assert_eq!(allocated(|| fallback.run(ready(Err(1)), |_| answer())), 0);

    let policy = Policy::named("p")
        .breaker(BreakerSettings::new())
        .retry(RetrySettings::new())
        .slow_log(ms(100))
        .build()
        .unwrap();
    assert_eq!(allocated(|| policy.read("a", answer)), 0);
    assert_eq!(allocated(|| policy.write("a", answer)), 0);
    let bounded = Policy::named("p")
        .breaker(BreakerSettings::new())
        .limit(LimitSettings::default())
        .shed(ShedSettings::default())
        .bulkhead(BulkheadSettings::default())
        .build()
        .unwrap();
    assert_eq!(allocated(|| bounded.read("a", answer)), 0);
    let failing = Policy::named("p").build().unwrap();
    assert_eq!(
        allocated(|| failing.read("a", || ready(Err::<u8, u8>(7)))),
        0
    );
}
