use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use pm_core::Clock;
use pm_core::reload::InvalidSetting;

use super::{Run, Timed, TimeoutLayer, Timeouts};
use crate::Class;
use crate::telemetry::TimeoutMetrics;

/// Time-outs by class; see the [module documentation](super).
///
/// A handle: clones are the same settings.
#[derive(Clone)]
pub struct Timeout(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    settings: ArcSwap<Timeouts>,
    /// Of reads, writes and batches once more, in nanoseconds: every call wants one of them.
    limits: [AtomicU64; 3],
    clock: Clock,
    metrics: TimeoutMetrics,
}

impl Timeout {
    /// Time-outs by these settings.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names it.
    pub fn new(name: impl Into<Arc<str>>, settings: Timeouts) -> Result<Self, InvalidSetting> {
        settings.check()?;
        Ok(Self::build(name.into(), settings, Clock::system()))
    }

    /// The same settings in a handle of its own, by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        let settings = self.settings();
        Self::build(Arc::clone(&self.0.name), settings, clock)
    }

    fn build(name: Arc<str>, settings: Timeouts, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            metrics: TimeoutMetrics::new(&name),
            name,
            limits: limits(&settings).map(AtomicU64::new),
            settings: ArcSwap::from_pointee(settings),
            clock,
        }))
    }

    /// The name in metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The time that a call of this class has.
    #[inline]
    #[must_use]
    pub fn of(&self, class: Class) -> Duration {
        let [read, write, batch] = &self.0.limits;
        let limit = match class {
            Class::Read => read,
            Class::Write => write,
            Class::Batch => batch,
            Class::Custom(_) => return self.0.settings.load().of(class),
        };
        Duration::from_nanos(limit.load(Ordering::Relaxed))
    }

    /// A call of this class was cut off.
    pub(crate) fn cut_off(&self, class: Class) {
        self.0.metrics.of(class).count();
    }

    /// The longest time that any class has.
    pub(crate) fn longest(&self) -> Duration {
        self.0.settings.load().longest()
    }

    /// Waits for `inner` for as long as its class may take, then drops it.
    ///
    /// Allocates nothing, and nothing but its time is read if `inner` is ready at once.
    /// Cancel-safe if `inner` is.
    #[inline]
    pub fn run<F: Future>(&self, class: Class, inner: F) -> Run<F> {
        let clock = self.0.clock.clone();
        let cut_off = self.0.metrics.of(class);
        Run::new(Timed::new(inner, class, self.of(class), clock), cut_off)
    }

    /// The layer whose services time each request, in the class that `class_of` says: for HTTP
    /// [`ByMethod`](crate::ByMethod), else a [`Class`] or a function.
    pub fn layer<K>(&self, class_of: K) -> TimeoutLayer<K> {
        TimeoutLayer::new(self.clone(), class_of)
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> Timeouts {
        Timeouts::clone(&self.0.settings.load())
    }

    /// Changes the settings, for calls that begin from now on.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names it, and nothing has changed.
    pub fn reload(&self, settings: Timeouts) -> Result<(), InvalidSetting> {
        settings.check()?;
        for (limit, nanos) in self.0.limits.iter().zip(limits(&settings)) {
            limit.store(nanos, Ordering::Relaxed);
        }
        self.0.settings.store(Arc::new(settings));
        Ok(())
    }
}

fn limits(settings: &Timeouts) -> [u64; 3] {
    [settings.read, settings.write, settings.batch]
        .map(|time| u64::try_from(time.as_nanos()).expect("checked to be at most a day"))
}

impl fmt::Debug for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("name", &self.0.name)
            .field("settings", &self.0.settings.load())
            .finish_non_exhaustive()
    }
}
