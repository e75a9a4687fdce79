use std::cell::RefCell;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{self, Poll};

use pin_project_lite::pin_project;

use super::Context;

thread_local! {
    static CURRENT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

impl Context {
    /// The context of the request that this code works for, if it works for one.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT
            .try_with(|current| current.borrow().clone())
            .ok()
            .flatten()
    }

    /// Runs `work` with this context as the [current](Self::current) one.
    pub fn in_scope<R>(&self, work: impl FnOnce() -> R) -> R {
        within(&mut Some(self.clone()), work)
    }

    /// Runs `future` with this context as the [current](Self::current) one, on whatever thread it
    /// is polled.
    pub fn scope<F: Future>(self, future: F) -> Scope<F> {
        Scope {
            future,
            context: Some(self),
        }
    }
}

pin_project! {
    /// What [`Context::scope`] returns. Cancel-safe if the inner future is.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Scope<F> {
        #[pin]
        future: F,
        context: Option<Context>,
    }
}

impl<F> Scope<F> {
    /// `None` hides the surrounding context, as a task started outside any request would.
    #[cfg(feature = "tokio")]
    pub(super) fn inherit(future: F) -> Self {
        Self {
            future,
            context: Context::current(),
        }
    }

    pub(super) fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        within(this.context, || this.future.poll(cx))
    }
}

/// Swaps instead of cloning, so that a poll costs no reference count.
fn within<R>(context: &mut Option<Context>, work: impl FnOnce() -> R) -> R {
    struct Swapped<'a>(&'a mut Option<Context>);

    impl Drop for Swapped<'_> {
        fn drop(&mut self) {
            swap(self.0);
        }
    }

    swap(context);
    let _back = Swapped(context);
    work()
}

fn swap(context: &mut Option<Context>) {
    // A thread that is being torn down has no current context, and nobody left to read it.
    let _ = CURRENT.try_with(|current| mem::swap(&mut *current.borrow_mut(), context));
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn context(id: &str) -> Context {
        Context::new(id.parse().expect("a valid id"))
    }

    fn current() -> Option<String> {
        Context::current().map(|context| context.request_id().to_string())
    }

    #[test]
    fn scopes_nest_and_restore() {
        context("outer").in_scope(|| {
            context("inner").in_scope(|| assert_eq!(current().as_deref(), Some("inner")));
            assert_eq!(current().as_deref(), Some("outer"));
        });
        assert_eq!(current(), None);
    }

    #[test]
    fn a_panic_does_not_leak_the_context() {
        let panicked = catch_unwind(AssertUnwindSafe(|| context("a").in_scope(|| panic!("oh"))));
        assert!(panicked.is_err());
        assert_eq!(current(), None);
    }

    #[tokio::test]
    async fn interleaved_futures_keep_their_own() {
        let one = context("one").scope(async {
            tokio::task::yield_now().await;
            current()
        });
        let two = context("two").scope(async {
            tokio::task::yield_now().await;
            current()
        });
        let (one, two) = tokio::join!(one, two);
        assert_eq!((one.as_deref(), two.as_deref()), (Some("one"), Some("two")));
        assert_eq!(current(), None);
    }
}
