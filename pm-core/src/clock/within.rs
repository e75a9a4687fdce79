use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::{Clock, Sleep};

impl Clock {
    /// Waits for `future`, but not longer than `limit` from now.
    ///
    /// If both are due at once the future wins. When time is up it is dropped together with the
    /// returned one, so that what was asked for may still happen elsewhere. The system clock's
    /// timer has a resolution of one millisecond and never fires early.
    ///
    /// # Panics
    ///
    /// With the system clock, when called or polled outside a tokio runtime with its timer on.
    pub fn within<F: Future>(&self, limit: Duration, future: F) -> Within<F> {
        Within {
            future,
            sleep: self.sleep_until(self.now() + limit),
        }
    }
}

pin_project! {
    /// What [`Clock::within`] returns: the future's output, or [`Elapsed`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Within<F> {
        #[pin]
        future: F,
        #[pin]
        sleep: Sleep,
    }
}

impl<F: Future> Future for Within<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.future.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => this.sleep.poll(cx).map(|()| Err(Elapsed)),
        }
    }
}

impl<F> fmt::Debug for Within<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Within").finish_non_exhaustive()
    }
}

/// Time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time limit was reached")
    }
}

impl Error for Elapsed {}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::Waker;

    use super::*;

    #[test]
    fn the_future_wins_a_tie_and_loses_to_time() {
        let (clock, time) = Clock::manual();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut tie = Box::pin(clock.within(Duration::ZERO, ready(7)));
        assert_eq!(tie.as_mut().poll(cx), Poll::Ready(Ok(7)));

        let mut late = Box::pin(clock.within(Duration::from_millis(5), pending::<()>()));
        assert!(late.as_mut().poll(cx).is_pending());
        time.advance(Duration::from_micros(4_999));
        assert!(late.as_mut().poll(cx).is_pending());
        time.advance(Duration::from_micros(1));
        assert_eq!(late.as_mut().poll(cx), Poll::Ready(Err(Elapsed)));
        drop(late);
        assert_eq!(time.next_deadline(), None);
    }
}
