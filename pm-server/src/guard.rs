//! Who may do how much, who is kept out, and who was refused how often.

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
    AutoBlock, BlockList, BlockStore, Emergency, Incident, InvalidRules, Limiter, RefusalObserver,
    RuleBook, RuleStore, Rules, ViolationStore, Violations,
    guard::{MemoryStore, SqliteStore},
    in_flight::InFlightLayer,
};

use crate::limits;

/// Who may do how much, who is kept out, and who was refused how often. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard {
    administration: Limiter,
    blocks: BlockList,
    emergency: Emergency,
    rules: RuleBook,
    violations: Violations,
}

/// What a [`Guard`] goes by until it is told otherwise.
#[derive(Clone, Debug)]
pub struct GuardSettings {
    /// The rules of the configuration. Those that are stored are put over them.
    pub rules: Rules,
    /// When addresses are blocked for their violations; without it, only by hand.
    pub automatic: Option<AutoBlock>,
    /// Who is never kept out.
    pub never: Vec<Cidr>,
}

/// The rules that are built in; blocks by the 50th violation within 10 minutes, whoever it is.
impl Default for GuardSettings {
    fn default() -> Self {
        Self {
            rules: limits::built_in(),
            automatic: Some(AutoBlock::new()),
            never: Vec::new(),
        }
    }
}

/// Why there is no [`Guard`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError {
    /// A rule of the configuration is not valid.
    #[error(transparent)]
    Rules(#[from] InvalidRules),
    /// What was known before cannot be read.
    #[error(
        "who is blocked, and the stored limits, cannot be read from {}; move the file away to begin \
         without",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl Guard {
    /// One that forgets everything with the process.
    ///
    /// # Errors
    ///
    /// If a rule is not valid.
    pub fn in_memory(settings: GuardSettings, clock: Clock) -> Result<Self, InvalidRules> {
        Self::on(Arc::new(MemoryStore::new()), settings, clock)
    }

    /// One that keeps what it knows in a SQLite file, which is made if it is not there. It knows
    /// already who is blocked, and goes by the rules that are stored. Those that are not valid with the
    /// configured ones are not in force, which is logged.
    ///
    /// # Errors
    ///
    /// A rule of the configuration is not valid; or the file cannot be read or written, or is of another
    /// version.
    pub async fn open(
        path: &Path,
        settings: GuardSettings,
        clock: Clock,
    ) -> Result<Self, GuardError> {
        let unreadable = |source| GuardError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let opened = async {
            make_private(path)?;
            Ok(SqliteStore::open(path).await?)
        };
        let store = opened.await.map_err(unreadable)?;
        let guard = Self::on(Arc::new(store), settings, clock)?;
        let known = async {
            guard.blocks.synchronize().await?;
            Ok(guard.rules.synchronize().await?)
        };
        known.await.map_err(unreadable)?;
        Ok(guard)
    }

    fn on<S>(store: Arc<S>, settings: GuardSettings, clock: Clock) -> Result<Self, InvalidRules>
    where
        S: BlockStore + RuleStore + ViolationStore,
    {
        let GuardSettings {
            rules,
            automatic,
            never,
        } = settings;
        let blocks = BlockList::builder()
            .store(store.clone())
            .allow(never)
            .clock(clock.clone());
        let blocks = match automatic {
            Some(automatic) => blocks.automatic(automatic),
            None => blocks,
        };
        let blocks = blocks.build();
        let violations = Violations::builder()
            .store(store.clone())
            .clock(clock.clone())
            .build();
        let emergency = Emergency::builder()
            .profiles(limits::profiles())
            .clock(clock.clone())
            .build()
            .expect("the profiles that are built in are valid");
        let watched = |rules| {
            Limiter::builder(rules)
                .observer(violations.clone())
                .observer(Requests(blocks.clone()))
                .clock(clock.clone())
        };
        let administration = watched(limits::administration()).build()?;
        let limiter = watched(rules)
            .emergency(emergency.clone())
            .count_decisions();
        Ok(Self {
            administration,
            blocks,
            emergency,
            rules: RuleBook::builder(limiter).store(store).build()?,
            violations,
        })
    }

    /// Decides how often an address may ask for administration: by a rule that nobody changes.
    pub(crate) fn administration(&self) -> &Limiter {
        &self.administration
    }

    /// Who is kept out.
    #[must_use]
    pub fn blocks(&self) -> &BlockList {
        &self.blocks
    }

    /// Decides who may do how much, by the rules and by what is left of them in an emergency. All refusals
    /// are recorded, and those of requests count towards a block.
    #[must_use]
    pub fn limiter(&self) -> Limiter {
        self.rules.limiter()
    }

    /// The rules, and the quotas of single users.
    #[must_use]
    pub fn rules(&self) -> &RuleBook {
        &self.rules
    }

    /// Who was refused.
    #[must_use]
    pub fn violations(&self) -> &Violations {
        &self.violations
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
            tokio::join!(
                self.blocks.clone().run(),
                self.emergency.clone().run(),
                self.rules.clone().run(),
                self.violations.clone().run(),
            );
        }
    }

    /// Writes what is not written yet, at the end.
    pub(crate) async fn flush(&self) {
        // First what is to last: violations are of use for an hour.
        if let Err(error) = self.blocks.synchronize().await {
            tracing::warn!(?error, "the last blocks cannot be written, and are lost");
        }
        if let Err(error) = self.violations.flush().await {
            tracing::warn!(
                ?error,
                "the last violations cannot be written, and are lost"
            );
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
