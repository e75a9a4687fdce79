use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

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
        // Made before the phase is looked at: no change falls between the two.
        notified: OwnedNotified,
    }
}

impl Reached {
    pub(super) fn new(drain: Drain, changed: Arc<Notify>, until: Phase) -> Self {
        Self {
            drain,
            until,
            notified: Arc::clone(&changed).notified_owned(),
            changed,
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
        while this.drain.phase() < *this.until {
            ready!(this.notified.as_mut().poll(cx));
            let again = Arc::clone(this.changed).notified_owned();
            this.notified.as_mut().set(again);
        }
        Poll::Ready(())
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
