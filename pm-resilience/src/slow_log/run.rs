use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use pm_core::Tick;

use super::{Operation, SlowLog};
use crate::Class;

pin_project! {
    /// What [`SlowLog::run`] returns: the output of the operation. Its time begins with the first
    /// poll.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Run<F> {
        log: SlowLog,
        operation: &'static str,
        class: Class,
        began: Option<Tick>,
        #[pin]
        inner: F,
    }
}

impl<F> Run<F> {
    pub(super) const fn new(log: SlowLog, operation: &'static str, class: Class, inner: F) -> Self {
        Self {
            log,
            operation,
            class,
            began: None,
            inner,
        }
    }
}

impl<F: Future> Future for Run<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let clock = this.log.clock();
        let began = *this.began.get_or_insert_with(|| clock.now());
        let output = ready!(this.inner.poll(cx));
        let took = clock.now().saturating_duration_since(began);
        let operation = Operation::new(this.operation, *this.class, took);
        this.log.note(&operation);
        Poll::Ready(output)
    }
}

impl<F> fmt::Debug for Run<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("operation", &self.operation)
            .field("class", &self.class)
            .finish_non_exhaustive()
    }
}
