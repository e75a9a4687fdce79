//! Wakes tasks that wait for a word to change, without a runtime.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use crate::sync::Mutex;

/// Rung by whoever has changed something, after the change; heard by those who wait for it.
///
/// The lock is only for those who wait and for the one who rings. Whoever merely reads what
/// changes does not come here.
pub(crate) struct Bell(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Bell {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Waiting::default()))
    }

    /// Wakes all who wait.
    pub(crate) fn ring(&self) {
        let wakers = self.with(|waiting| std::mem::take(&mut waiting.wakers));
        for waker in wakers.into_values() {
            waker.wake();
        }
    }

    /// Waits until `look` finds something; it is asked at once, and whenever the bell has rung.
    ///
    /// Dropping the future leaves nothing behind.
    pub(crate) fn wait_until<T, L>(&self, look: L) -> Wait<'_, L>
    where
        L: FnMut() -> Option<T>,
    {
        Wait {
            bell: self,
            place: None,
            look,
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Waiting) -> T) -> T {
        // Nothing that could panic is done under the lock.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}

/// The future of [`Bell::wait_until`].
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Wait<'a, L> {
    bell: &'a Bell,
    place: Option<u64>,
    look: L,
}

/// `look` is called, never pinned.
impl<L> Unpin for Wait<'_, L> {}

impl<T, L: FnMut() -> Option<T>> Future for Wait<'_, L> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        if let Some(found) = (this.look)() {
            return Poll::Ready(found);
        }
        let place = &mut this.place;
        this.bell.with(|waiting| {
            let place = *place.get_or_insert_with(|| {
                waiting.next += 1;
                waiting.next
            });
            waiting.wakers.insert(place, cx.waker().clone());
        });
        // Again, now that the waker has its place: a change between the first look and the lock
        // has rung for the others only.
        (this.look)().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<L> Drop for Wait<'_, L> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            // The waker is dropped outside the lock: it may be the last handle on a task.
            let _waker = self.bell.with(|waiting| waiting.wakers.remove(&place));
        }
    }
}

#[cfg(all(test, not(pm_loom)))]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct CountWakes(AtomicUsize);

    impl Wake for CountWakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn everybody_is_woken_once_and_looks_again() {
        let (bell, open) = (Bell::new(), AtomicBool::new(false));
        let look = || open.load(Ordering::SeqCst).then_some(7);
        let wakes = Arc::new(CountWakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let cx = &mut Context::from_waker(&waker);
        let (mut one, mut two) = (pin!(bell.wait_until(look)), pin!(bell.wait_until(look)));
        assert!(one.as_mut().poll(cx).is_pending() && two.as_mut().poll(cx).is_pending());
        assert!(one.as_mut().poll(cx).is_pending(), "registered once");

        bell.ring();
        assert_eq!(wakes.0.load(Ordering::SeqCst), 2);
        assert!(one.as_mut().poll(cx).is_pending(), "rung for nothing");
        open.store(true, Ordering::SeqCst);
        bell.ring();
        assert_eq!(
            wakes.0.load(Ordering::SeqCst),
            3,
            "the other did not ask again"
        );
        assert_eq!(one.as_mut().poll(cx), Poll::Ready(7));
        assert_eq!(two.as_mut().poll(cx), Poll::Ready(7));
    }

    #[test]
    fn a_dropped_wait_leaves_nothing_behind() {
        let bell = Bell::new();
        {
            let mut wait = pin!(bell.wait_until(|| None::<()>));
            let cx = &mut Context::from_waker(Waker::noop());
            assert!(wait.as_mut().poll(cx).is_pending());
            assert_eq!(bell.with(|waiting| waiting.wakers.len()), 1);
        }
        assert_eq!(bell.with(|waiting| waiting.wakers.len()), 0);
    }
}
