use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use super::Tick;
use super::manual::Manual;

pin_project! {
    /// What [`Clock::sleep_until`](super::Clock::sleep_until) returns: completes once the clock has
    /// reached the deadline.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Sleep {
        #[pin]
        timer: Timer,
    }
}

pin_project! {
    #[project = TimerProj]
    enum Timer {
        System { #[pin] sleep: tokio::time::Sleep },
        Manual { sleeper: Sleeper },
        /// A deadline that the machine's clock cannot express.
        Never,
    }
}

impl Sleep {
    pub(super) fn system(origin: Instant, deadline: Tick) -> Self {
        let timer = match origin.checked_add(Duration::from_nanos(deadline.as_nanos())) {
            Some(instant) => Timer::System {
                sleep: tokio::time::sleep_until(instant.into()),
            },
            None => Timer::Never,
        };
        Self { timer }
    }

    pub(super) fn manual(time: Arc<Manual>, deadline: Tick) -> Self {
        Self {
            timer: Timer::Manual {
                sleeper: Sleeper {
                    time,
                    deadline,
                    registration: None,
                },
            },
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.project().timer.project() {
            TimerProj::System { sleep } => sleep.poll(cx),
            TimerProj::Manual { sleeper } => sleeper.poll(cx.waker()),
            TimerProj::Never => Poll::Pending,
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}

struct Sleeper {
    time: Arc<Manual>,
    deadline: Tick,
    registration: Option<u64>,
}

impl Sleeper {
    fn poll(&mut self, waker: &Waker) -> Poll<()> {
        if self
            .time
            .poll_deadline(self.deadline, &mut self.registration, waker)
        {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        if let Some(id) = self.registration {
            self.time.forget(self.deadline, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::Clock;

    #[derive(Default)]
    struct CountWakes(AtomicUsize);

    impl Wake for CountWakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn advancing_wakes_exactly_the_sleepers_whose_time_has_come() {
        let (clock, time) = Clock::manual();
        let wakes = Arc::new(CountWakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let cx = &mut Context::from_waker(&waker);

        let mut soon = Box::pin(clock.sleep_until(clock.now() + Duration::from_secs(1)));
        let mut late = Box::pin(clock.sleep_until(clock.now() + Duration::from_secs(2)));
        assert!(soon.as_mut().poll(cx).is_pending());
        assert!(late.as_mut().poll(cx).is_pending());

        time.advance(Duration::from_nanos(999_999_999));
        assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
        time.advance(Duration::from_nanos(1));
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        assert!(soon.as_mut().poll(cx).is_ready());
        assert!(late.as_mut().poll(cx).is_pending());
    }

    #[test]
    fn a_deadline_in_the_past_is_ready_at_once() {
        let (clock, time) = Clock::manual();
        time.advance(Duration::from_secs(5));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(
            Box::pin(clock.sleep_until(Tick::ZERO))
                .as_mut()
                .poll(cx)
                .is_ready()
        );
    }

    #[test]
    fn a_dropped_sleep_leaves_nothing_behind() {
        let (clock, time) = Clock::manual();
        let mut sleep = Box::pin(clock.sleep_until(Tick::from_nanos(7)));
        assert!(
            sleep
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        assert_eq!(time.next_deadline(), Some(Tick::from_nanos(7)));
        drop(sleep);
        assert_eq!(time.next_deadline(), None);
    }

    #[test]
    fn polling_again_replaces_the_waker_and_registers_once() {
        let (clock, time) = Clock::manual();
        let (first, second) = (
            Arc::new(CountWakes::default()),
            Arc::new(CountWakes::default()),
        );
        let mut sleep = Box::pin(clock.sleep_until(Tick::from_nanos(7)));
        for wakes in [&first, &second] {
            let waker = Waker::from(Arc::clone(wakes));
            assert!(
                sleep
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        time.advance(Duration::from_nanos(7));
        assert_eq!(first.0.load(Ordering::SeqCst), 0);
        assert_eq!(second.0.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_system_clock_sleeps_on_tokios_timer() {
        let clock = Clock::system();
        clock
            .sleep_until(clock.now() + Duration::from_secs(3600))
            .await;
    }

    #[tokio::test]
    async fn the_end_of_time_is_never_reached() {
        let sleep = Clock::system().sleep_until(Tick::MAX);
        let mut sleep = Box::pin(sleep);
        assert!(
            sleep
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
    }
}
