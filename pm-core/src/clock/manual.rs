use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Tick;

/// 2026-01-01T00:00:00Z
const WALL_ORIGIN: Duration = Duration::from_secs(1_767_225_600);

/// Moves the clock that [`Clock::manual`](super::Clock::manual) made.
///
/// Clones move the same clock. Nothing else moves it.
#[derive(Clone)]
pub struct ManualTime(Arc<Manual>);

impl ManualTime {
    pub(super) fn new(time: Arc<Manual>) -> Self {
        Self(time)
    }

    /// Moves the monotonic and the wall clock forward by `by`, and wakes every sleeper whose
    /// deadline is reached, the earliest first.
    pub fn advance(&self, by: Duration) {
        self.0.advance(by);
    }

    /// Sets the wall clock, as an operator or a time server does; the monotonic clock does not
    /// notice. From there both go on together.
    pub fn set_wall(&self, wall: SystemTime) {
        self.0.set_wall(wall);
    }

    /// The earliest deadline that somebody sleeps until: what a simulation advances to next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.0
            .sleepers()
            .keys()
            .next()
            .map(|&(deadline, _)| deadline)
    }
}

impl fmt::Debug for ManualTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualTime")
            .field("now", &self.0.now())
            .field("next_deadline", &self.next_deadline())
            .finish()
    }
}

pub(super) struct Manual {
    now: AtomicU64,
    /// What the wall clock showed, or would have shown, at [`Tick::ZERO`].
    wall_origin: Mutex<SystemTime>,
    sleepers: Mutex<Sleepers>,
}

/// By deadline, then by the sleeper's own number.
type Sleepers = BTreeMap<(Tick, u64), Waker>;

impl Manual {
    pub(super) fn new() -> Self {
        Self {
            now: AtomicU64::new(0),
            wall_origin: Mutex::new(UNIX_EPOCH + WALL_ORIGIN),
            sleepers: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Tick {
        Tick::from_nanos(self.now.load(Ordering::Acquire))
    }

    pub(super) fn wall(&self) -> SystemTime {
        *self.wall_origin() + Duration::from_nanos(self.now().as_nanos())
    }

    fn set_wall(&self, wall: SystemTime) {
        *self.wall_origin() = wall - Duration::from_nanos(self.now().as_nanos());
    }

    fn wall_origin(&self) -> MutexGuard<'_, SystemTime> {
        self.wall_origin
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, by: Duration) {
        let due = {
            // Under the lock that sleepers register under, so that none can look at the old time
            // and register after the wake-ups were collected.
            let mut sleepers = self.sleepers();
            let now = self.now() + by;
            self.now.store(now.as_nanos(), Ordering::Release);
            let later = sleepers.split_off(&(now, u64::MAX));
            std::mem::replace(&mut *sleepers, later)
        };
        for waker in due.into_values() {
            waker.wake();
        }
    }

    /// Whether `deadline` is reached; if not, `waker` is called when it is. `registration` holds
    /// the sleeper's place between polls.
    #[cfg(feature = "tokio")]
    pub(super) fn poll_deadline(
        &self,
        deadline: Tick,
        registration: &mut Option<u64>,
        waker: &Waker,
    ) -> bool {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);

        let mut sleepers = self.sleepers();
        if self.now() >= deadline {
            return true;
        }
        let id = *registration.get_or_insert_with(|| NEXT_ID.fetch_add(1, Ordering::Relaxed));
        sleepers.insert((deadline, id), waker.clone());
        false
    }

    #[cfg(feature = "tokio")]
    pub(super) fn forget(&self, deadline: Tick, id: u64) {
        self.sleepers().remove(&(deadline, id));
    }

    fn sleepers(&self) -> MutexGuard<'_, Sleepers> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
