//! How far a server is on its way down.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

/// How far a server is on its way down: serving, then not ready for more, then leaving.
///
/// Everybody who serves looks at it or follows it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Drain {
    ready: Arc<AtomicBool>,
    leaving: Arc<watch::Sender<Option<Duration>>>,
}

impl Drain {
    pub(crate) fn new() -> Self {
        Self {
            ready: Arc::new(AtomicBool::new(true)),
            leaving: Arc::new(watch::Sender::new(None)),
        }
    }

    /// Whether it takes more work. False from the moment it is asked to stop.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }

    /// Turns `Some` when clients are to leave: within that time they should come back, each at a
    /// moment of its own.
    ///
    /// Whoever keeps the receiver is waited for.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Option<Duration>> {
        self.leaving.subscribe()
    }

    pub(crate) fn stop_being_ready(&self) {
        self.ready.store(false, Ordering::SeqCst);
    }

    pub(crate) fn leave(&self, come_back_within: Duration) {
        self.leaving.send_replace(Some(come_back_within));
    }

    /// Waits until nobody follows any more.
    pub(crate) async fn gone(&self) {
        self.leaving.closed().await;
    }
}
