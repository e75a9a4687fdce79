use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pm_core::Clock;

/// A breaker as the scenarios see it.
pub(super) trait Subject {
    /// `inner` under this breaker.
    fn guard(&self, inner: Inner) -> Guarded;
}

/// A call under a breaker.
pub(super) type Guarded = Pin<Box<dyn Future<Output = Ended>>>;

/// Whether it was made, as far as the breaker tells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Answered,
    Rejected,
}

/// How a call is to end.
#[derive(Clone, Copy)]
pub(super) enum End {
    Success,
    Failure,
    Panic,
}

/// What is called: it waits until the scenario ends it.
#[derive(Clone, Default)]
pub(super) struct Inner(Arc<Mutex<Option<End>>>);

impl Future for Inner {
    type Output = Result<(), ()>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let end = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match end {
            // Nobody has to be woken: scenarios poll.
            None => Poll::Pending,
            Some(End::Success) => Poll::Ready(Ok(())),
            Some(End::Failure) => Poll::Ready(Err(())),
            Some(End::Panic) => std::panic::resume_unwind(Box::new("as the scenario wants it")),
        }
    }
}

/// A call that is under way. Dropped, it is cut off.
pub(super) struct Call {
    guarded: Guarded,
    inner: Inner,
}

/// Begins a call, if the breaker lets it.
pub(super) fn begin(subject: &dyn Subject) -> Option<Call> {
    let inner = Inner::default();
    let mut guarded = subject.guard(inner.clone());
    match poll(&mut guarded) {
        Poll::Pending => Some(Call { guarded, inner }),
        Poll::Ready(ended) => {
            assert!(ended == Ended::Rejected, "nothing has ended it");
            None
        }
    }
}

/// A whole call; whether it was let in.
pub(super) fn make(subject: &dyn Subject, end: End) -> bool {
    let call = begin(subject);
    let made = call.is_some();
    if let Some(call) = call {
        call.end(end);
    }
    made
}

impl Call {
    pub(super) fn end(mut self, end: End) {
        *self.inner.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
        let ended = catch_unwind(AssertUnwindSafe(|| poll(&mut self.guarded)));
        assert!(
            !matches!(ended, Ok(Poll::Pending)),
            "what has ended ends the call"
        );
    }
}

fn poll(guarded: &mut Guarded) -> Poll<Ended> {
    guarded
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
}

/// Lets time pass for everybody.
pub(super) fn pass(time: Duration) {
    let clock = Clock::system();
    // Some are open until it is later than their time.
    let until = clock.now() + time * 3 / 2;
    while clock.now() < until {
        std::thread::yield_now();
    }
}
