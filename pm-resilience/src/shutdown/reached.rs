use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::{Drain, Phase};

pin_project! {
    /// What [`Drain::reached`] returns: done once that phase is reached.
    #[must_use = "futures do nothing unless awaited"]
    pub struct Reached {
        drain: Drain,
        changed: Arc<Notify>,
        until: Phase,
        #[pin]
        notified: OwnedNotified,
        // With whom it is registered, and for a change from which phase.
        registered: Option<(Phase, Waker)>,
    }
}

impl Reached {
    pub(super) fn new(drain: Drain, changed: Arc<Notify>, until: Phase) -> Self {
        Self {
            drain,
            until,
            notified: Arc::clone(&changed).notified_owned(),
            changed,
            registered: None,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.drain.phase()
    }
}

impl Future for Reached {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            let phase = this.drain.phase();
            if phase >= *this.until {
                return Poll::Ready(());
            }
            // All who wait share a lock. A connection is polled often, and comes there once.
            if let Some((seen, waker)) = this.registered
                && *seen == phase
                && waker.will_wake(cx.waker())
            {
                return Poll::Pending;
            }
            match this.notified.as_mut().poll(cx) {
                Poll::Ready(()) => {
                    *this.registered = None;
                    let again = Arc::clone(this.changed).notified_owned();
                    this.notified.as_mut().set(again);
                }
                Poll::Pending => {
                    *this.registered = Some((phase, cx.waker().clone()));
                    return Poll::Pending;
                }
            }
        }
    }
}

impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reached")
            .field("until", &self.until)
            .field("phase", &self.phase())
            .finish_non_exhaustive()
    }
}
