//! Whatever is begun, polled, waited for and dropped under a policy, in whatever order, leaves nothing
//! behind.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pm_core::{Clock, ManualTime};
use pm_resilience::breaker::State;
use pm_resilience::retry::Jitter;
use pm_resilience::{
    BreakerSettings, Budget, BulkheadSettings, Deadline, Error, LimitSettings, Policy, Priority,
    RetrySettings, ShedSettings, Timeouts,
};
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

/// What is called: it is pending so many times, and then fails or not; or it never ends.
#[derive(Clone, Copy, Debug)]
struct Inner {
    pending: u8,
    end: Option<bool>,
}

impl Future for Inner {
    type Output = Result<(), ()>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match (self.pending.checked_sub(1), self.end) {
            (Some(left), _) => {
                self.pending = left;
                Poll::Pending
            }
            (None, Some(works)) => Poll::Ready(works.then_some(()).ok_or(())),
            (None, None) => Poll::Pending,
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Begin {
        inner: Inner,
        writes: bool,
        priority: Priority,
        deadline: Option<u64>,
    },
    Poll(prop::sample::Index),
    Drop(prop::sample::Index),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![Just(Some(true)), Just(Some(false)), Just(None)];
    let inner = (0..3u8, end).prop_map(|(pending, end)| Inner { pending, end });
    let priority = prop::sample::select(Priority::ALL.to_vec());
    let deadline = prop::option::of(0..150u64);
    let begin = (inner, any::<bool>(), priority, deadline);
    let begin = begin.prop_map(|(inner, writes, priority, deadline)| Step::Begin {
        inner,
        writes,
        priority,
        deadline,
    });
    let index = any::<prop::sample::Index>;
    let step = prop_oneof![
        3 => begin,
        4 => index().prop_map(Step::Poll),
        2 => index().prop_map(Step::Drop),
        1 => (1..400u64).prop_map(Step::Wait),
        1 => Just(Step::Wait(30_000)),
    ];
    prop::collection::vec(step, 1..120)
}

/// Everything that can be in a policy, and little of it.
fn policy() -> (Policy, Clock, ManualTime) {
    let (clock, time) = Clock::manual();
    let two = NonZeroU32::new(2).unwrap();
    let retry = RetrySettings::exponential(10 * MS, 20 * MS).with_jitter(Jitter::None);
    let policy = Policy::named("x")
        .timeouts(Timeouts::new().with_read(100 * MS).with_write(200 * MS))
        .limit(LimitSettings::new().with_initial(6))
        .shed(ShedSettings::new())
        .retry(retry)
        .budget(Budget::percent(100).with_clock(clock.clone()))
        .breaker(BreakerSettings::new().with_consecutive_failures(3))
        .bulkhead(BulkheadSettings::new().with_max(two).with_queue(2))
        .slow_log(100 * MS)
        .clock(clock.clone());
    (policy.build().unwrap(), clock, time)
}

type Operation<'p> = Pin<Box<dyn Future<Output = Result<(), Error<()>>> + 'p>>;

proptest! {
    #[test]
    fn nothing_is_left_behind(steps in steps()) {
        let (policy, clock, time) = policy();
        let mut cx = Context::from_waker(Waker::noop());
        let mut under_way: Vec<Operation<'_>> = Vec::new();
        for step in steps {
            match step {
                Step::Begin { inner, writes, priority, deadline } => {
                    let operation: Operation<'_> = match writes {
                        true => Box::pin(policy.write("a", move || inner).priority(priority)),
                        false => Box::pin(policy.read("a", move || inner).priority(priority)),
                    };
                    under_way.push(match deadline {
                        Some(after) => {
                            let deadline = Deadline::after(after as u32 * MS, &clock);
                            Box::pin(deadline.scope(operation))
                        }
                        None => operation,
                    });
                }
                Step::Poll(index) if !under_way.is_empty() => {
                    let at = index.index(under_way.len());
                    if under_way[at].as_mut().poll(&mut cx).is_ready() {
                        drop(under_way.swap_remove(at));
                    }
                }
                Step::Drop(index) if !under_way.is_empty() => {
                    let at = index.index(under_way.len());
                    drop(under_way.swap_remove(at));
                }
                Step::Wait(millis) => time.advance(millis as u32 * MS),
                Step::Poll(_) | Step::Drop(_) => {}
            }
        }
        drop(under_way);
        let (limit, bulkhead) = (policy.limit().unwrap(), policy.bulkhead().unwrap());
        prop_assert_eq!(limit.in_flight(), 0);
        prop_assert_eq!((bulkhead.in_flight(), bulkhead.waiting()), (0, 0));
        prop_assert_eq!(time.next_deadline(), None, "somebody still sleeps");
        // Without waiting for the lease of a probe that is gone.
        if policy.breaker().state() == State::HalfOpen {
            prop_assert!(policy.breaker().try_acquire().is_ok(), "a probe has kept its place");
        }
        time.advance(Duration::from_secs(30));
        prop_assert!(policy.breaker().try_acquire().is_ok());
    }
}
