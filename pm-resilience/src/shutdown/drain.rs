use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pm_core::reload::InvalidSetting;
use tokio::sync::Notify;

use super::tallies::Tallies;
use super::{DrainLayer, Guard, Kind, Phase, Reached, ShutdownSettings, Socket, Tracked};

/// How far a process is on its way down, for everybody who has to know: a handle, cheap to clone.
///
/// It also counts what is under way, so that it can be waited for. A [`Shutdown`](super::Shutdown)
/// moves it; if that was dropped before anybody asked to stop, it serves for ever.
#[derive(Clone)]
pub struct Drain(Arc<Shared>);

struct Shared {
    phase: AtomicU8,
    /// Rung after the phase has changed, and by nothing else.
    changed: Arc<Notify>,
    asked: AtomicBool,
    /// Rung when it is asked to stop: only the shutdown waits for that.
    stop: Notify,
    /// Rung after something has ended.
    ended: Notify,
    tallies: Tallies,
    terms: Mutex<Terms>,
}

/// What it does, and what it has promised.
struct Terms {
    settings: ShutdownSettings,
    promised: Duration,
}

impl Drain {
    pub(super) fn new(settings: ShutdownSettings) -> Result<Self, InvalidSetting> {
        settings.check()?;
        Ok(Self(Arc::new(Shared {
            phase: AtomicU8::new(Phase::Serving as u8),
            changed: Arc::default(),
            asked: AtomicBool::new(false),
            stop: Notify::new(),
            ended: Notify::new(),
            tallies: Tallies::new(),
            terms: Mutex::new(Terms {
                settings,
                promised: Duration::ZERO,
            }),
        })))
    }

    /// How far it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        Phase::from_number(self.0.phase.load(Ordering::SeqCst))
    }

    /// Whether it takes more work: false from the moment it is asked to stop.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Serving
    }

    /// Waits until it is at `phase`, or past it. Cancel-safe.
    ///
    /// Who accepts connections stops at [`Phase::Draining`]; who works on something long gives up at
    /// [`Phase::Cancelling`].
    pub fn reached(&self, phase: Phase) -> Reached {
        Reached::new(self.clone(), Arc::clone(&self.0.changed), phase)
    }

    /// Asks to stop, as a signal does. To ask again changes nothing.
    pub fn stop(&self) {
        self.0.asked.store(true, Ordering::SeqCst);
        self.0.stop.notify_waiters();
    }

    /// Waits until somebody has called [`stop`](Self::stop).
    pub(super) async fn asked(&self) {
        loop {
            let stop = self.0.stop.notified();
            if self.0.asked.load(Ordering::SeqCst) {
                return;
            }
            stop.await;
        }
    }

    /// Something is under way until the guard is dropped.
    ///
    /// Draining waits for it. Nothing ends it from outside: see [`track`](Self::track) for that.
    pub fn hold(&self, kind: Kind) -> Guard {
        self.0.tallies.begin(kind);
        Guard::new(self.clone(), kind)
    }

    /// The layer of a server, whose requests are under way until the bodies of their responses have
    /// ended.
    #[must_use]
    pub fn layer(&self) -> DrainLayer {
        DrainLayer::new(self.clone())
    }

    /// The future, waited for while draining and dropped when it is aborted: its output is then
    /// [`Cut`](super::Cut).
    ///
    /// Track what has to be done before the process ends, such as connections and the loop that
    /// accepts them; what would go on for ever need not be waited for.
    pub fn track<F: Future>(&self, kind: Kind, future: F) -> Tracked<F> {
        Tracked::new(future, self.hold(kind), self.reached(Phase::Aborting))
    }

    /// A socket is open until what is returned is dropped; it tells when to leave.
    pub fn socket(&self) -> Socket {
        Socket::new(self.clone())
    }

    /// How many of this kind are under way.
    #[must_use]
    pub fn held(&self, kind: Kind) -> u64 {
        self.0.tallies.held(kind)
    }

    /// Other settings, if they are valid. Once it was asked to stop, the phases are those of before.
    ///
    /// # Errors
    ///
    /// If the phases do not fit into the budget, or the hooks that are there not into `close`;
    /// nothing is changed then.
    pub fn reload(&self, settings: ShutdownSettings) -> Result<(), InvalidSetting> {
        self.terms(|terms| {
            settings.check_promise(terms.promised)?;
            terms.settings = settings;
            Ok(())
        })
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> ShutdownSettings {
        self.terms(|terms| terms.settings.clone())
    }

    /// Keeps `share` of the closing phase for a hook.
    pub(super) fn promise(&self, share: Duration) -> Result<(), InvalidSetting> {
        self.terms(|terms| {
            let promised = terms.promised.saturating_add(share);
            terms.settings.check_promise(promised)?;
            terms.promised = promised;
            Ok(())
        })
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }

    pub(super) fn ended(&self, kind: Kind) {
        self.0.tallies.end(kind);
        self.0.ended.notify_waiters();
    }

    /// How many have ever ended, and how many are under way, of each kind.
    pub(super) fn tallies(&self) -> [(u64, u64); Kind::ALL.len()] {
        let tallies = &self.0.tallies;
        Kind::ALL.map(|kind| (tallies.ended(kind), tallies.held(kind)))
    }

    /// Waits until nothing is under way.
    pub(super) async fn empty(&self) {
        loop {
            let mut ended = pin!(self.0.ended.notified());
            ended.as_mut().enable();
            if self.0.tallies.are_even() {
                return;
            }
            ended.await;
        }
    }

    fn terms<T>(&self, look: impl FnOnce(&mut Terms) -> T) -> T {
        // Nothing that could panic is done under the lock.
        look(&mut self.0.terms.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Drain");
        debug.field("phase", &self.phase());
        for kind in Kind::ALL {
            debug.field(kind.as_str(), &self.held(kind));
        }
        debug.finish_non_exhaustive()
    }
}
