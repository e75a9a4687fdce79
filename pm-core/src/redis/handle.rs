use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::error::{Down, Failed};
use super::link::Link;
use super::{Command, Endpoint, Error, Invocation, Options, Reply, Slot};
use crate::Clock;
use crate::degrade::{CallError, Changes, State, SwitchStats};

/// A Redis, whether it is there at the moment or not; see the [module documentation](super).
///
/// A handle: clones share the connection, the switch and the task that probes, which ends with the
/// last of them.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
    deadline: Duration,
}

struct Shared {
    link: Arc<Link>,
    prober: JoinHandle<()>,
}

impl Redis {
    /// Connects, and fails if that does not succeed at once.
    ///
    /// Spawns a task that probes while the server is down and reconnects; it ends with the last
    /// handle. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] if the credentials are wrong; [`Error::Unavailable`] or
    /// [`Error::TimedOut`] if the server cannot be reached or does not take writes.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer and I/O on.
    pub async fn connect(endpoint: Endpoint, options: Options) -> Result<Self, Error> {
        let link = Link::new(endpoint, options);
        link.attempt().await?;
        if let Some(probe) = link.switch.probe() {
            probe.passed();
        }
        Ok(Self::keep(link))
    }

    /// Does not wait for the server: it is down until it is there.
    ///
    /// Spawns a task that connects at once, probes while the server is down and reconnects; it ends
    /// with the last handle.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer and I/O on.
    #[must_use]
    pub fn open(endpoint: Endpoint, options: Options) -> Self {
        Self::keep(Link::new(endpoint, options))
    }

    fn keep(link: Link) -> Self {
        let (deadline, link) = (link.options.deadline, Arc::new(link));
        let probed = Arc::clone(&link);
        let prober = tokio::spawn(async move { probed.keep_probing().await });
        Self {
            shared: Arc::new(Shared { link, prober }),
            deadline,
        }
    }

    /// The same Redis with another deadline for the calls of this handle.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sends a command.
    ///
    /// Cancel-safe: if the future is dropped the command was carried out or not, and nothing is
    /// left behind.
    ///
    /// # Errors
    ///
    /// See [`Error`]; at once while the server is down, otherwise within the deadline.
    pub async fn call(&self, command: &Command) -> Result<Reply, Error> {
        self.within_deadline(async {
            let connection = self.shared.link.connection().map_err(not_sent)?;
            connection.send(command.as_cmd()).await
        })
        .await
    }

    /// Runs a script.
    ///
    /// Cancel-safe: if the future is dropped the script was run or not, and nothing is left
    /// behind.
    ///
    /// # Errors
    ///
    /// See [`Error`]; at once while the server is down, otherwise within the deadline.
    pub async fn run(&self, invocation: &Invocation<'_>) -> Result<Reply, Error> {
        self.within_deadline(async {
            let connection = self.shared.link.connection().map_err(not_sent)?;
            connection.evaluate(invocation).await
        })
        .await
    }

    /// Which slot `key` is in, if it is a cluster: the keys of one script must be in one.
    #[must_use]
    pub fn slot(&self, key: impl AsRef<[u8]>) -> Option<Slot> {
        let is_cluster = self.shared.link.endpoint().is_cluster();
        is_cluster.then(|| Slot::of(key.as_ref()))
    }

    /// How long a call of this handle may take.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// What deadlines are measured with.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.shared.link.options.clock
    }

    /// Whether it is up.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.link.switch.state()
    }

    /// Follows the state from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.shared.link.switch.changes()
    }

    /// What has been counted.
    #[must_use]
    pub fn stats(&self) -> SwitchStats {
        self.shared.link.switch.stats()
    }

    async fn within_deadline(
        &self,
        sending: impl Future<Output = Result<Reply, Failed>>,
    ) -> Result<Reply, Error> {
        let Link {
            switch, options, ..
        } = &*self.shared.link;
        let called = switch.call(&options.clock, self.deadline, sending, |failed| {
            failed.outcome
        });
        called.await.map_err(|error| match error {
            CallError::Down => Error::Unavailable(Down.into()),
            CallError::Failed(failed) => failed.error,
            CallError::TimedOut => Error::TimedOut,
        })
    }
}

fn not_sent(error: Error) -> Failed {
    Failed {
        outcome: crate::degrade::Outcome::Refused,
        error,
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.prober.abort();
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("endpoint", self.shared.link.endpoint())
            .field("deadline", &self.deadline)
            .field("switch", &self.shared.link.switch)
            .finish()
    }
}
