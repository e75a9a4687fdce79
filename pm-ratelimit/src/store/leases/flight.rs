use tokio::sync::watch;

/// A decision that takes tokens ahead, as those see it who wait for them.
#[derive(Clone, Debug)]
pub(super) struct Flight(watch::Receiver<()>);

/// Held while it lasts, whatever ends it.
pub(super) type Aloft = watch::Sender<()>;

impl Flight {
    pub(super) fn begin() -> (Aloft, Self) {
        let (aloft, flight) = watch::channel(());
        (aloft, Self(flight))
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.has_changed().is_err()
    }

    /// Waits until it is over. Cancel-safe.
    pub(super) async fn over(mut self) {
        // Nothing is ever sent: this ends with the sender.
        while self.0.changed().await.is_ok() {}
    }
}
