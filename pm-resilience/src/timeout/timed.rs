use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use pm_core::clock::Sleep;
use pm_core::{Clock, Tick};
use tokio::task::coop;

use crate::telemetry::CutOff;
use crate::{Class, Error, TimedOut};

pin_project! {
    /// A future with a time limit: its output, or [`TimedOut`].
    ///
    /// The timer is made when the future is pending for the first time, and the limit counts from
    /// there. If both are due at once the future wins. Dropping it drops the future.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timed<F> {
        #[pin]
        inner: F,
        #[pin]
        timer: Option<Sleep>,
        clock: Clock,
        // Told, or else counted from the first wait.
        end: Option<Tick>,
        limit: TimedOut,
    }
}

impl<F> Timed<F> {
    /// `inner`, which has so long.
    pub const fn new(inner: F, class: Class, after: Duration, clock: Clock) -> Self {
        Self {
            inner,
            timer: None,
            clock,
            end: None,
            limit: TimedOut::new(class, after),
        }
    }

    /// `inner`, which has until `end`: `after` from now, for the error.
    pub const fn until(inner: F, class: Class, after: Duration, end: Tick, clock: Clock) -> Self {
        Self {
            inner,
            timer: None,
            clock,
            end: Some(end),
            limit: TimedOut::new(class, after),
        }
    }
}

impl<F: Future> Future for Timed<F> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // Looked at from the second poll on only: one that is ready at once needs none of it.
        let had_budget = this.timer.is_some() && coop::has_budget_remaining();
        if let Poll::Ready(output) = this.inner.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if this.timer.is_none() {
            let counted = || this.clock.now() + this.limit.after();
            let end = this.end.unwrap_or_else(counted);
            this.timer.set(Some(this.clock.sleep_until(end)));
        }
        let timer = this.timer.as_pin_mut().expect("made above");
        let up = if had_budget && !coop::has_budget_remaining() {
            // A future that uses up its task's share whenever it is polled would leave nothing for
            // the timer, and never be cut off.
            pin!(coop::unconstrained(timer)).poll(cx)
        } else {
            timer.poll(cx)
        };
        up.map(|()| Err(*this.limit))
    }
}

impl<F> fmt::Debug for Timed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timed")
            .field("class", &self.limit.class())
            .field("after", &self.limit.after())
            .field("waiting", &self.timer.is_some())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// What [`Timeout::run`](super::Timeout::run) returns: the result with one flat [`Error`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Run<F> {
        #[pin]
        timed: Timed<F>,
        cut_off: CutOff,
    }
}

impl<F> Run<F> {
    pub(super) const fn new(timed: Timed<F>, cut_off: CutOff) -> Self {
        Self { timed, cut_off }
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> Future for Run<F> {
    type Output = Result<T, Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.timed.poll(cx).map(|timed| match timed {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(Error::Inner(error)),
            Err(timed_out) => {
                this.cut_off.count();
                Err(timed_out.into())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::task::Waker;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_ready_future_makes_no_timer() {
        // The system clock's timer would panic here, where there is no runtime.
        let mut timed = pin!(Timed::new(ready(7), Class::Read, LIMIT, Clock::system()));
        assert_eq!(poll(timed.as_mut()), Poll::Ready(Ok(7)));
    }

    #[test]
    fn time_counts_from_the_first_wait_and_cuts_off() {
        let (clock, time) = Clock::manual();
        let inner = pending::<()>();
        let mut timed = Box::pin(Timed::new(inner, Class::Write, LIMIT, clock));
        time.advance(LIMIT * 9);
        assert!(poll(timed.as_mut()).is_pending());
        time.advance(LIMIT - Duration::from_nanos(1));
        assert!(poll(timed.as_mut()).is_pending());
        time.advance(Duration::from_nanos(1));
        let limit = TimedOut::new(Class::Write, LIMIT);
        assert_eq!(poll(timed.as_mut()), Poll::Ready(Err(limit)));
        drop(timed);
        assert_eq!(time.next_deadline(), None);
    }

    #[test]
    fn a_value_that_is_ready_wins_over_a_timer_that_has_expired() {
        let (clock, time) = Clock::manual();
        let mut asked = false;
        let inner = poll_fn(|_| match std::mem::replace(&mut asked, true) {
            false => Poll::Pending,
            true => Poll::Ready(7),
        });
        let mut timed = pin!(Timed::new(inner, Class::Read, LIMIT, clock));
        assert!(poll(timed.as_mut()).is_pending());
        time.advance(LIMIT * 2);
        assert_eq!(poll(timed.as_mut()), Poll::Ready(Ok(7)));
    }

    #[tokio::test]
    async fn a_future_that_uses_up_the_tasks_share_is_still_cut_off() {
        let greedy = async {
            loop {
                coop::consume_budget().await;
            }
        };
        // It is over at once, so that nothing has to pass.
        let limit = Duration::ZERO;
        let timed = Timed::new(greedy, Class::Read, limit, Clock::system());
        assert_eq!(timed.await, Err::<(), _>(TimedOut::new(Class::Read, limit)));
    }
}
