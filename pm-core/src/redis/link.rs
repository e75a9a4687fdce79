use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;

use super::error::Down;
use super::{Connection, Endpoint, Error, Options, probe};
use crate::degrade::Switch;

/// What calls and the task that probes share.
pub(super) struct Link {
    pub(super) switch: Switch,
    pub(super) options: Options,
    endpoint: Endpoint,
    connection: ArcSwapOption<Connection>,
    /// Whether the next probe is to make a new connection although there is one.
    renew: AtomicBool,
    /// Whether it was said in this outage that somebody has to do something.
    complained: AtomicBool,
}

impl Link {
    /// Down, as there is no connection yet.
    pub(super) fn new(endpoint: Endpoint, options: Options) -> Self {
        Self {
            switch: Switch::down(options.name.clone()).with_misses(options.misses),
            options,
            endpoint,
            connection: ArcSwapOption::empty(),
            renew: AtomicBool::new(false),
            complained: AtomicBool::new(false),
        }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The connection in use.
    pub(super) fn connection(&self) -> Result<Connection, Error> {
        match &*self.connection.load() {
            Some(connection) => Ok(Connection::clone(connection)),
            None => Err(Error::Unavailable(Down.into())),
        }
    }

    /// Probes for as long as it is polled.
    pub(super) async fn keep_probing(&self) {
        let Options {
            clock, probe_pause, ..
        } = &self.options;
        let probe = || async {
            match self.attempt().await {
                Ok(()) => {
                    self.complained.store(false, Ordering::Relaxed);
                    true
                }
                Err(error) => {
                    self.complain(&error);
                    false
                }
            }
        };
        self.switch.keep_probing(clock, *probe_pause, probe).await;
    }

    /// Finds or makes a connection that works, and puts it to use.
    pub(super) async fn attempt(&self) -> Result<(), Error> {
        let candidate = self.candidate().await?;
        let everywhere = self.endpoint.is_cluster();
        let probing = async {
            match &self.options.probe {
                Some(probe) => probe(candidate.clone()).await,
                None => probe::writes(candidate.clone(), everywhere).await,
            }
        };
        let probed = self
            .options
            .clock
            .within(self.options.connect_limit, probing);
        probed.await.unwrap_or(Err(Error::TimedOut))?;
        self.connection.store(Some(Arc::new(candidate)));
        self.renew.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// To a single server always a new connection: the old one may lead to a machine that is gone
    /// without having said so, and what still waits in it is given up with it. That of a cluster
    /// heals itself where it can, and costs a connection to each node: every second time.
    async fn candidate(&self) -> Result<Connection, Error> {
        if self.endpoint.is_cluster()
            && let Ok(connection) = self.connection()
            && !self.renew.fetch_xor(true, Ordering::Relaxed)
        {
            return Ok(connection);
        }
        let Options {
            clock,
            connect_limit,
            ..
        } = &self.options;
        self.endpoint.connect(clock, *connect_limit).await
    }

    fn complain(&self, error: &Error) {
        let hopeless = matches!(
            error,
            Error::Denied(_) | Error::Response(_) | Error::Unexpected
        );
        let (switch, error) = (self.switch.name(), error as &dyn std::error::Error);
        if hopeless && !self.complained.swap(true, Ordering::Relaxed) {
            tracing::error!(switch, error, "probes are refused until somebody acts");
        } else {
            tracing::debug!(switch, error, "the probe failed");
        }
    }
}
