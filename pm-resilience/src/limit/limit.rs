use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use pm_core::reload::InvalidSetting;
use pm_core::{Clock, Tick};

use super::estimate::{Estimate, Sample};
use super::slots::Slots;
use super::{LimitSettings, Permit};
use crate::sync::{Mutex, MutexGuard};
use crate::telemetry::GateMetrics;
use crate::{Pattern, Reason, Rejection};

/// A limit that adapts: a handle, cheap to clone. See the [module documentation](super).
#[derive(Clone)]
pub struct Limit(Arc<Shared>);

pub(super) struct Shared {
    name: Arc<str>,
    clock: Clock,
    slots: Slots,
    learnt: Mutex<Learnt>,
    metrics: GateMetrics,
}

struct Learnt {
    settings: LimitSettings,
    estimate: Estimate,
}

impl Limit {
    /// A limit that has learnt nothing yet. The name is for rejections, logs and metrics.
    ///
    /// # Errors
    ///
    /// A setting that is not valid, by its name.
    pub fn new(name: impl Into<Arc<str>>, settings: LimitSettings) -> Result<Self, InvalidSetting> {
        settings.check()?;
        Ok(Self::build(name.into(), settings, Clock::system()))
    }

    /// The same, having learnt nothing yet, on another clock than the machine's.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self::build(Arc::clone(&self.0.name), self.settings(), clock)
    }

    fn build(name: Arc<str>, settings: LimitSettings, clock: Clock) -> Self {
        let estimate = Estimate::new(&settings, clock.now());
        let metrics = GateMetrics::new(Pattern::Limit, &name);
        metrics.limit(estimate.limit());
        Self(Arc::new(Shared {
            name,
            clock,
            slots: Slots::new(estimate.ceiling()),
            learnt: Mutex::new(Learnt { settings, estimate }),
            metrics,
        }))
    }

    /// The name in rejections, logs and metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// A permit, if there is one. Nobody waits.
    ///
    /// # Errors
    ///
    /// If as many calls are under way as there may be.
    pub fn try_acquire(&self) -> Result<Permit, Rejection> {
        self.take(self.0.slots.ceiling()).ok_or_else(|| {
            let reason = Reason::Full;
            self.0.metrics.rejected(reason);
            Rejection::new(Arc::clone(&self.0.name), Pattern::Limit, reason)
        })
    }

    /// A permit, if fewer than `up_to` are taken. Nothing is counted as rejected.
    pub(crate) fn take(&self, up_to: u64) -> Option<Permit> {
        let in_flight = self.0.slots.take(up_to)?;
        self.0.metrics.admitted();
        let began = self.0.now();
        Some(Permit::new(Arc::clone(&self.0), began, in_flight))
    }

    /// How many there may be. During a probe somewhat fewer are let in.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.learnt().estimate.limit()
    }

    /// How many are let in right now.
    pub(crate) fn ceiling(&self) -> u64 {
        self.0.slots.ceiling()
    }

    /// How many there are.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.0.slots.taken()
    }

    /// Other settings. What was learnt stays, within the new bounds.
    ///
    /// # Errors
    ///
    /// A setting that is not valid, by its name; nothing is changed then.
    pub fn reload(&self, settings: LimitSettings) -> Result<(), InvalidSetting> {
        settings.check()?;
        let mut learnt = self.0.learnt();
        learnt.estimate.keep_within(&settings);
        learnt.settings = settings;
        self.0.publish(&learnt.estimate);
        Ok(())
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> LimitSettings {
        self.0.learnt().settings.clone()
    }
}

impl Shared {
    pub(super) fn now(&self) -> Tick {
        self.clock.now()
    }

    /// Whether a call that began then and is given up now was lost.
    pub(super) fn is_lost(&self, began: Tick) -> bool {
        self.now() >= began + self.learnt().settings.lost_after
    }

    pub(super) fn ended(&self, began: Tick, latency: Option<Duration>, in_flight: u64) {
        let now = self.now();
        let mut learnt = self.learnt();
        let Learnt { settings, estimate } = &mut *learnt;
        let sample = Sample {
            began,
            latency,
            // As many as there were at either end: a burst is seen by its first call, too.
            in_flight: in_flight.max(self.slots.taken()),
        };
        estimate.take(sample, now, settings);
        self.publish(estimate);
    }

    pub(super) fn give_back(&self) {
        self.slots.give_back();
        self.metrics.freed();
    }

    fn publish(&self, estimate: &Estimate) {
        self.slots.set_ceiling(estimate.ceiling());
        self.metrics.limit(estimate.limit());
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        // Nothing that could panic is done under the lock.
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit")
            .field("name", &self.0.name)
            .field("limit", &self.limit())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
