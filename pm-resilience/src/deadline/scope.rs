use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::Deadline;

thread_local! {
    static CURRENT: Cell<Option<Deadline>> = const { Cell::new(None) };
}

impl Deadline {
    /// The deadline that this code works under, if there is one.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Cell::get).ok().flatten()
    }

    /// Runs `work` under this deadline, or under the one around it if that is earlier.
    pub fn in_scope<R>(self, work: impl FnOnce() -> R) -> R {
        let _back = Entered::new(self);
        work()
    }

    /// Runs `future` under this deadline, or under the one around it if that is earlier, on whatever
    /// thread it is polled. It does not cut the future off.
    pub const fn scope<F>(self, future: F) -> Scope<F> {
        Scope {
            future,
            deadline: self,
        }
    }
}

/// Puts back what was there, behind a panic, too.
struct Entered(Option<Deadline>);

impl Entered {
    fn new(deadline: Deadline) -> Self {
        let around = Deadline::current();
        set(Some(around.map_or(deadline, |around| around.min(deadline))));
        Self(around)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        set(self.0);
    }
}

fn set(deadline: Option<Deadline>) {
    // A thread that is being torn down has nobody left to read it.
    let _ = CURRENT.try_with(|current| current.set(deadline));
}

pin_project! {
    /// What [`Deadline::scope`] returns. Cancel-safe if the inner future is.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Scope<F> {
        #[pin]
        future: F,
        deadline: Deadline,
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _back = Entered::new(*this.deadline);
        this.future.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use pm_core::Tick;

    use super::*;

    fn at(nanos: u64) -> Deadline {
        Deadline::at(Tick::from_nanos(nanos))
    }

    #[test]
    fn a_scope_within_a_scope_never_gives_more_time() {
        at(5).in_scope(|| {
            at(9).in_scope(|| assert_eq!(Deadline::current(), Some(at(5))));
            at(3).in_scope(|| assert_eq!(Deadline::current(), Some(at(3))));
            assert_eq!(Deadline::current(), Some(at(5)));
        });
        assert_eq!(Deadline::current(), None);
    }

    #[test]
    fn a_panic_does_not_leak_the_deadline() {
        assert!(catch_unwind(|| at(5).in_scope(|| panic!("oh"))).is_err());
        assert_eq!(Deadline::current(), None);
    }

    #[tokio::test]
    async fn interleaved_futures_keep_their_own() {
        let here = |deadline: Deadline| {
            deadline.scope(async {
                tokio::task::yield_now().await;
                Deadline::current()
            })
        };
        let found = tokio::join!(here(at(1)), here(at(2)));
        assert_eq!(found, (Some(at(1)), Some(at(2))));
        assert_eq!(Deadline::current(), None);
    }
}
