use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use pm_core::reload::InvalidSetting;
use pm_core::{Clock, Context};

use super::lines::Lines;
use super::{Operation, Run, SlowLogLayer, SlowLogSettings};
use crate::telemetry::SlowLogMetrics;
use crate::{Class, breaker};

/// A log of slow operations; see the [module documentation](super).
///
/// A handle: clones share what they may write.
#[derive(Clone)]
pub struct SlowLog(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    /// Which of the logs of that name it is.
    key: Option<Box<str>>,
    /// Nanoseconds from which on an operation is slow: every operation reads it.
    threshold: AtomicU64,
    lines_per_second: AtomicU32,
    clock: Clock,
    lines: Lines,
    left_out: AtomicU64,
    metrics: SlowLogMetrics,
}

impl SlowLog {
    /// A log by these settings.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names it.
    pub fn new(
        name: impl Into<Arc<str>>,
        settings: SlowLogSettings,
    ) -> Result<Self, InvalidSetting> {
        settings.check()?;
        Ok(Self::build(name.into(), None, settings, Clock::system()))
    }

    /// A log of its own by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        let Shared { name, key, .. } = &*self.0;
        Self::build(Arc::clone(name), key.clone(), self.settings(), clock)
    }

    /// A log of its own whose lines have this key, beside those of others of the same name. In metrics
    /// they are one: a key may be one of many.
    #[must_use]
    pub fn with_key(self, key: impl Into<Box<str>>) -> Self {
        let Shared { name, clock, .. } = &*self.0;
        let (name, clock) = (Arc::clone(name), clock.clone());
        Self::build(name, Some(key.into()), self.settings(), clock)
    }

    fn build(
        name: Arc<str>,
        key: Option<Box<str>>,
        settings: SlowLogSettings,
        clock: Clock,
    ) -> Self {
        Self(Arc::new(Shared {
            metrics: SlowLogMetrics::new(&name),
            name,
            key,
            threshold: AtomicU64::new(nanos(settings.threshold)),
            lines_per_second: AtomicU32::new(settings.lines_per_second),
            clock,
            lines: Lines::default(),
            left_out: AtomicU64::new(0),
        }))
    }

    /// Tells of an operation that has ended; one that was not slow costs a comparison.
    pub fn note(&self, operation: &Operation) {
        if nanos(operation.took) >= self.0.threshold.load(Ordering::Relaxed) {
            self.tell(operation);
        }
    }

    #[cold]
    fn tell(&self, operation: &Operation) {
        self.0.metrics.slow();
        if !self.may_write(self.0.lines_per_second.load(Ordering::Relaxed)) {
            self.0.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let context = Context::current();
        tracing::warn!(
            name = &*self.0.name,
            key = self.0.key.as_deref(),
            operation = operation.name,
            class = operation.class.as_str(),
            millis = u64::try_from(operation.took.as_millis()).unwrap_or(u64::MAX),
            attempt = operation.attempt,
            breaker = operation.breaker.map(breaker::State::as_str),
            request_id = context
                .as_ref()
                .map(|context| context.request_id().as_str()),
            left_out = self.0.left_out.swap(0, Ordering::Relaxed),
            "slow operation"
        );
    }

    /// Waits for `inner`, and tells of it if it was slow. Reads the clock twice.
    ///
    /// One that is dropped before its end is not told of.
    pub fn run<F: Future>(&self, operation: &'static str, class: Class, inner: F) -> Run<F> {
        Run::new(self.clone(), operation, class, inner)
    }

    /// The layer that tells of requests: `operation_of` says what they are called and `class_of` what kind
    /// they are, of HTTP requests [`ByExtension`](super::ByExtension) and
    /// [`ByMethod`](crate::ByMethod).
    pub fn layer<O, K>(&self, operation_of: O, class_of: K) -> SlowLogLayer<O, K> {
        SlowLogLayer::new(self.clone(), operation_of, class_of)
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> SlowLogSettings {
        SlowLogSettings {
            threshold: Duration::from_nanos(self.0.threshold.load(Ordering::Relaxed)),
            lines_per_second: self.0.lines_per_second.load(Ordering::Relaxed),
        }
    }

    /// Changes the settings, for operations that end from now on.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names it, and nothing has changed.
    pub fn reload(&self, settings: SlowLogSettings) -> Result<(), InvalidSetting> {
        settings.check()?;
        let shared = &self.0;
        shared
            .threshold
            .store(nanos(settings.threshold), Ordering::Relaxed);
        shared
            .lines_per_second
            .store(settings.lines_per_second, Ordering::Relaxed);
        Ok(())
    }

    fn may_write(&self, lines: u32) -> bool {
        let second = self.0.clock.now().as_nanos() / 1_000_000_000;
        self.0.lines.take(second, lines)
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }
}

/// What nanoseconds cannot say takes longer than any operation.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Debug for SlowLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowLog")
            .field("name", &self.0.name)
            .field("settings", &self.settings())
            .finish_non_exhaustive()
    }
}
