//! Who is kept out, and who was refused how often.

use std::{
    convert::Infallible,
    error::Error,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use pm_core::{Cidr, ClientIp, Clock};
use pm_ratelimit::{
    AutoBlock, BlockList, BlockStore, Incident, Limiter, RefusalObserver, ViolationStore,
    Violations,
    guard::{MemoryStore, SqliteStore},
    in_flight::InFlightLayer,
};

/// Who is kept out, and who was refused how often. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard {
    blocks: BlockList,
    violations: Violations,
}

/// What a [`Guard`] does by itself.
#[derive(Clone, Debug)]
pub struct GuardSettings {
    /// When addresses are blocked for their violations; without it, only by hand.
    pub automatic: Option<AutoBlock>,
    /// Who is never kept out.
    pub never: Vec<Cidr>,
}

/// Blocks by the 50th violation within 10 minutes, whoever it is.
impl Default for GuardSettings {
    fn default() -> Self {
        Self {
            automatic: Some(AutoBlock::new()),
            never: Vec::new(),
        }
    }
}

/// What was known before cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "who is blocked cannot be read from {}; move the file away to begin with nobody",
    path.display()
)]
pub struct GuardError {
    path: PathBuf,
    source: Box<dyn Error + Send + Sync>,
}

impl Guard {
    /// One that forgets everything with the process.
    #[must_use]
    pub fn in_memory(settings: GuardSettings, clock: Clock) -> Self {
        Self::on(Arc::new(MemoryStore::new()), settings, clock)
    }

    /// One that keeps what it knows in a SQLite file, which is made if it is not there. It knows
    /// already who is blocked.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written, or is of another version.
    pub async fn open(
        path: &Path,
        settings: GuardSettings,
        clock: Clock,
    ) -> Result<Self, GuardError> {
        let known = async {
            make_private(path)?;
            let store = SqliteStore::open(path).await?;
            let guard = Self::on(Arc::new(store), settings, clock);
            guard.blocks.synchronize().await?;
            Ok(guard)
        };
        known.await.map_err(|source| GuardError {
            path: path.to_owned(),
            source,
        })
    }

    fn on<S>(store: Arc<S>, settings: GuardSettings, clock: Clock) -> Self
    where
        S: BlockStore + ViolationStore,
    {
        let GuardSettings { automatic, never } = settings;
        let blocks = BlockList::builder()
            .store(store.clone())
            .allow(never)
            .clock(clock.clone());
        let blocks = match automatic {
            Some(automatic) => blocks.automatic(automatic),
            None => blocks,
        };
        Self {
            blocks: blocks.build(),
            violations: Violations::builder().store(store).clock(clock).build(),
        }
    }

    /// Who is kept out.
    #[must_use]
    pub fn blocks(&self) -> &BlockList {
        &self.blocks
    }

    /// Who was refused.
    #[must_use]
    pub fn violations(&self) -> &Violations {
        &self.violations
    }

    /// The same limiter, whose refusals are seen: all are recorded, and those of requests count towards
    /// a block. Changes of rules are to be made on what is returned.
    #[must_use]
    pub fn watch(&self, limiter: Limiter) -> Limiter {
        limiter
            .with_observer(self.violations.clone())
            .with_observer(Requests(self.blocks.clone()))
    }

    /// The same layer, whose refusals are recorded. They do not count towards a block: nobody can be
    /// told how long to wait for a socket of a neighbour to end.
    pub(crate) fn watch_sockets(&self, sockets: InFlightLayer) -> InFlightLayer {
        sockets.observer(self.violations.clone())
    }

    /// A socket of this client was closed because it ignored refusals: that counts towards a block, as a
    /// refused request does.
    pub(crate) fn ignored(&self, client: ClientIp) {
        self.blocks.refused(&Incident::new("/ws").client(client));
    }

    /// Keeps up with the store, for ever: with what others say, and with what is to be written.
    pub(crate) async fn run(&self) -> Infallible {
        loop {
            tokio::join!(self.blocks.clone().run(), self.violations.clone().run());
        }
    }

    /// Writes what is not written yet, at the end.
    pub(crate) async fn flush(&self) {
        if let Err(error) = self.violations.flush().await {
            tracing::warn!(
                ?error,
                "the last violations cannot be written, and are lost"
            );
        }
        if let Err(error) = self.blocks.synchronize().await {
            tracing::warn!(?error, "the last blocks cannot be written, and are lost");
        }
    }
}

/// Addresses of clients are nobody else's business. What SQLite puts beside the file has its mode.
fn make_private(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Tells the list of requests that were refused, and of no frames. A client sends frames ahead of their
/// answers, so that whoever meets a limit is refused hundreds of times before it can know.
#[derive(Debug)]
struct Requests(BlockList);

impl RefusalObserver for Requests {
    fn refused(&self, incident: &Incident<'_>) {
        if incident.as_method().is_some() {
            self.0.refused(incident);
        }
    }
}
