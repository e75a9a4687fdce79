use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use pm_core::reload::InvalidSetting;
use pm_core::{Clock, Context};

use super::lines::Lines;
use super::{Operation, Run, SlowLogSettings};
use crate::telemetry::SlowLogMetrics;
use crate::{Class, breaker};

/// A log of slow operations; see the [module documentation](super).
///
/// A handle: clones share what they may write.
#[derive(Clone)]
pub struct SlowLog(Arc<Shared>);

struct Shared {
    name: Arc<str>,
    settings: ArcSwap<SlowLogSettings>,
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
        Ok(Self::build(name.into(), settings, Clock::system()))
    }

    /// A log of its own by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        let settings = self.settings();
        Self::build(Arc::clone(&self.0.name), settings, clock)
    }

    fn build(name: Arc<str>, settings: SlowLogSettings, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            metrics: SlowLogMetrics::new(&name),
            name,
            settings: ArcSwap::from_pointee(settings),
            clock,
            lines: Lines::default(),
            left_out: AtomicU64::new(0),
        }))
    }

    /// Tells of an operation that has ended; one that was not slow costs a comparison.
    pub fn note(&self, operation: &Operation) {
        let settings = self.0.settings.load();
        if operation.took < settings.threshold {
            return;
        }
        self.0.metrics.slow();
        if !self.may_write(settings.lines_per_second) {
            self.0.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let context = Context::current();
        tracing::warn!(
            name = &*self.0.name,
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

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> SlowLogSettings {
        **self.0.settings.load()
    }

    /// Changes the settings, for operations that end from now on.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names it, and nothing has changed.
    pub fn reload(&self, settings: SlowLogSettings) -> Result<(), InvalidSetting> {
        settings.check()?;
        self.0.settings.store(Arc::new(settings));
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

impl fmt::Debug for SlowLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowLog")
            .field("name", &self.0.name)
            .field("settings", &self.0.settings.load())
            .finish_non_exhaustive()
    }
}
