use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pm_core::Tick;

use super::hysteresis::{Signal, Watch};
use super::{Hysteresis, InvalidEmergency};

/// An emergency that a reading declares and ends: load, the depth of a queue, the part of requests that
/// fail, or whatever else you have.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::time::Duration;
/// use pm_ratelimit::emergency::{Automatic, Hysteresis};
///
/// let waiting = Arc::new(AtomicU64::new(0)); // counted elsewhere
/// let levels = Hysteresis {
///     enter_above: 1_000.0,
///     enter_after: Duration::from_secs(10),
///     leave_below: 200.0,
///     leave_after: Duration::from_secs(60),
/// };
/// let automatic = Automatic::new("storm", levels, move || waiting.load(Ordering::Relaxed) as f64);
/// ```
pub struct Automatic {
    pub(super) profile: Box<str>,
    levels: Hysteresis,
    reading: Box<dyn Fn() -> f64 + Send + Sync>,
    pub(super) lasting: Duration,
    watch: Mutex<Watch>,
}

impl Automatic {
    /// Enters this profile by these levels of `reading`, which is taken four times a second by
    /// [`Emergency::run`](super::Emergency::run): it must not block. One that is not a number is
    /// neither high nor low.
    pub fn new(
        profile: impl Into<Box<str>>,
        levels: Hysteresis,
        reading: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            profile: profile.into(),
            levels,
            reading: Box::new(reading),
            lasting: Duration::from_secs(10 * 60),
            watch: Mutex::default(),
        }
    }

    /// How long it lasts if nobody takes a reading any longer; as long as somebody does, it is
    /// prolonged until the reading is low. Without this, 10 minutes.
    #[must_use]
    pub const fn lasting(mut self, duration: Duration) -> Self {
        self.lasting = duration;
        self
    }

    pub(super) fn check(&self) -> Result<(), InvalidEmergency> {
        let invalid = |message| InvalidEmergency::new(&self.profile, "automatic", message);
        if !self.levels.is_valid() {
            return Err(invalid(
                "it is left below a level that is above the one it is entered at",
            ));
        }
        if self.lasting.is_zero() {
            return Err(invalid("it lasts for no time"));
        }
        Ok(())
    }

    pub(super) fn look(&self, now: Tick) -> Signal {
        let reading = (self.reading)();
        self.with_watch(|watch| watch.note(&self.levels, reading, now))
    }

    /// Until the reading has been low.
    pub(super) fn hold_off(&self) {
        self.with_watch(Watch::hold_off);
    }

    fn with_watch<T>(&self, work: impl FnOnce(&mut Watch) -> T) -> T {
        work(&mut self.watch.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Automatic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Automatic")
            .field("profile", &self.profile)
            .field("levels", &self.levels)
            .field("lasting", &self.lasting)
            .finish_non_exhaustive()
    }
}
