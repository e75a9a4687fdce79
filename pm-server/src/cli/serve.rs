use std::{
    convert::Infallible,
    io::{self, ErrorKind, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use pm_core::{Clock, reload::InvalidSetting};
use pm_ratelimit::RuleBook;
use pm_resilience::{
    health::Health,
    shutdown::{Shutdown, Signals, Summary},
};
use tokio::net::TcpListener;

use super::{
    greeting::{Greeting, Made},
    hangups::Hangups,
};
use crate::{
    app::App,
    auth::{KeyError, Keys},
    config::{Limits, LimitsError, Serve},
    data_folder::{DataFolder, DataFolderError},
    guard::{Guard, GuardError},
    overload,
    run::run,
    stack::StackSettings,
    tenant::{Files, Registry, RegistryError, RegistryLimits},
    ws::SocketSettings,
};

/// How long it is not said that it runs, since it is not ready yet. It may be that it never is.
const READY_WITHIN: Duration = Duration::from_secs(2);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Data(#[from] DataFolderError),
    /// Who is blocked, and who may do how much, is not known.
    #[error(transparent)]
    Guard(#[from] GuardError),
    /// There is no signing key to work with.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The limits cannot be put into force.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// Nobody can listen there.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// Somebody else does.
    #[error(
        "{0} is in use by another program; choose another address with --listen, where port 0 \
         picks a free one"
    )]
    PortTaken(SocketAddr),
    /// The operating system does not tell of SIGHUP.
    #[error("SIGHUP cannot be listened to: {0}; start without --limits")]
    Hangups(#[source] io::Error),
    /// The phases of the shutdown do not fit.
    #[error("{0}; change --drain-delay or --shutdown-budget")]
    Shutdown(#[from] InvalidSetting),
    /// The operating system does not tell of signals to stop.
    #[error("SIGTERM and SIGINT cannot be listened to: {0}")]
    Signals(#[source] io::Error),
    /// A tenant could not be made.
    #[error(transparent)]
    Tenant(#[from] RegistryError),
}

/// `pm-server serve`: opens the data folder, listens, says so on `out`, and serves until SIGTERM or
/// SIGINT; a second one ends it at once. Before it says that it runs, one ends the process by itself.
///
/// # Errors
///
/// It did not start. Once it did, it ends in order.
pub async fn serve(
    settings: &Serve,
    clock: Clock,
    out: &mut impl Write,
) -> Result<Summary, ServeError> {
    let rules = settings.limits.read().await?;
    let mut shutdown = Shutdown::new(settings.down.settings()?)?.with_clock(clock.clone());
    let folder = DataFolder::open(&settings.data.folder)?;
    if let Some(mode) = folder.open_to_others() {
        let path = folder.path().display();
        tracing::warn!(
            "others than its owner may look into the data folder {path} (mode {mode:04o}); \
             make it private: chmod 700 {path}"
        );
    }
    let (keys, new_key) = Keys::load_or_create(folder.path())?;
    let guard = Guard::open(&folder.guard(), settings.guard(rules), clock.clone()).await?;
    let book = guard.rules().clone();
    let storage = Arc::new(Files::new(folder.tenants()));
    let registry = Registry::new(storage, clock.clone(), RegistryLimits::default());
    let mut made = Made {
        folder: folder.is_new(),
        key: new_key,
        tenants: Vec::new(),
    };
    for name in &settings.tenants {
        if registry.create(name).await? {
            made.tenants.push(name.to_string());
        }
    }

    // Before it is said that it runs. Without a file, the end of its terminal ends it.
    let signals = Signals::listen().map_err(ServeError::Signals)?;
    let hangups = match settings.limits.file {
        Some(_) => Some(Hangups::listen().map_err(ServeError::Hangups)?),
        None => None,
    };

    let address = settings.listen;
    let refused = |source: io::Error| match source.kind() {
        ErrorKind::AddrInUse => ServeError::PortTaken(address),
        _ => ServeError::Listen { address, source },
    };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let listening = listener.local_addr().map_err(refused)?;
    let app = App::new(
        registry,
        Arc::new(keys),
        guard,
        clock.clone(),
        &mut shutdown,
    )?;
    ready(app.health(), &clock).await;
    let _announcement = folder.announce(listening)?;
    let greeting = Greeting {
        settings,
        listening,
        made,
    };
    if let Err(error) = greeting.write(out) {
        // Nobody reads it, which is no reason not to serve.
        tracing::debug!(%error, "the greeting was not written");
    }

    let stack = stack(settings, &clock);
    tokio::select! {
        summary = run(listener, app, stack, shutdown, signals) => Ok(summary),
        never = keep_reading(&settings.limits, &book, hangups) => match never {},
    }
}

/// Puts the limits that the file then has into force, each time that it is asked to.
async fn keep_reading(limits: &Limits, book: &RuleBook, hangups: Option<Hangups>) -> Infallible {
    let Some(mut hangups) = hangups else {
        return std::future::pending().await;
    };
    loop {
        hangups.next().await;
        if let Err(error) = limits.reload(book).await {
            tracing::error!(%error, "the limits stay as they were");
        }
    }
}

/// Waits until it is ready: who reads that it runs may send work at once.
async fn ready(health: &Health, clock: &Clock) {
    tokio::select! {
        never = health.run() => match never {},
        () = health.started() => {}
        () = clock.sleep_until(clock.now() + READY_WITHIN) => {}
    }
}

fn stack(settings: &Serve, clock: &Clock) -> StackSettings {
    StackSettings {
        shed: overload::shed(clock),
        connections: settings.limits.connections,
        trusted_proxies: settings.trusted_proxies(),
        allowed_origins: settings.allowed_origins.clone(),
        sockets: SocketSettings::default(),
    }
}
