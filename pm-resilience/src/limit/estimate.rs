use std::time::Duration;

use pm_core::Tick;

use super::probe::NoLoad;
use super::window::Window;
use super::{LimitSettings, Rule};

/// What the limit should be: what was seen and the time in, a number out.
#[derive(Debug)]
pub(super) struct Estimate {
    limit: f64,
    window: Window,
    no_load: NoLoad,
}

/// A call that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) began: Tick,
    /// None if it was lost.
    pub(super) latency: Option<Duration>,
    /// How many were under way, itself included.
    pub(super) in_flight: u64,
}

impl Estimate {
    pub(super) fn new(settings: &LimitSettings, now: Tick) -> Self {
        let limit = f64::from(settings.initial);
        Self {
            limit,
            window: Window::new(now),
            no_load: NoLoad::new(now, limit),
        }
    }

    /// The limit as it is.
    pub(super) fn limit(&self) -> u64 {
        self.limit as u64
    }

    /// How many are let in: the limit, or fewer while a probe is under way.
    pub(super) fn ceiling(&self) -> u64 {
        self.no_load
            .ceiling()
            .map_or(self.limit(), |probe| probe.min(self.limit()))
    }

    /// Stays, as far as it may.
    pub(super) fn keep_within(&mut self, settings: &LimitSettings) {
        self.limit = settings.clamp(self.limit);
    }

    pub(super) fn take(&mut self, sample: Sample, now: Tick, settings: &LimitSettings) {
        self.window.add(sample.latency, sample.in_flight);
        if let Rule::Gradient { probe_every, .. } = settings.rule {
            if let Some(latency) = sample.latency {
                self.no_load.sample(sample.began, latency);
            }
            let enough = settings.samples;
            let wanted = enough.saturating_mul(5).max(self.limit as u32);
            let in_flight = sample.in_flight.saturating_sub(1);
            self.no_load
                .pass(now, self.limit, in_flight, (wanted, enough), probe_every);
        }
        if !self.window.is_full(now, settings) {
            return;
        }
        let window = std::mem::replace(&mut self.window, Window::new(now));
        let wanted = match settings.rule {
            Rule::Gradient {
                tolerance,
                probe_every,
            } => self.by_gradient(&window, now, (tolerance, probe_every), settings),
            Rule::Aimd { slow, decrease } => self.by_steps(&window, slow, decrease),
        };
        self.limit = settings.clamp(wanted);
    }

    fn by_gradient(
        &mut self,
        window: &Window,
        now: Tick,
        (tolerance, probe_every): (f64, Duration),
        settings: &LimitSettings,
    ) -> f64 {
        // Nobody answers: a probe would learn nothing, and there is no way up.
        let Some(latency) = window.latency() else {
            self.no_load.give_up(now, self.limit, probe_every);
            return self.limit * settings.steepest;
        };
        let used = self.is_used(window);
        if !used {
            self.no_load.saw_idle(latency);
        }
        let gradient = (tolerance * self.no_load.or_guess(latency, now) / latency).min(1.0);
        let answered = 1.0 - window.loss();
        // Less is let in by intention: that nothing queues says nothing about the limit, but what is
        // lost does.
        if self.no_load.ceiling().is_some() {
            return self.limit * answered.max(settings.steepest);
        }
        let kept = (gradient * answered).max(settings.steepest);
        let headroom = match used {
            true => headroom(self.limit, gradient < 1.0),
            false => 0.0,
        };
        self.limit * kept + headroom
    }

    fn by_steps(&self, window: &Window, slow: Duration, decrease: f64) -> f64 {
        let is_slow = window
            .latency()
            .is_none_or(|latency| latency > slow.as_secs_f64());
        if is_slow || window.loss() > 0.0 {
            self.limit * decrease
        } else if self.is_used(window) {
            self.limit + 1.0
        } else {
            self.limit
        }
    }

    fn is_used(&self, window: &Window) -> bool {
        window.most as f64 >= self.limit / 2.0
    }
}

/// The way up, where nothing queues yet. Where something does: a small queue, so that nobody is idle
/// who could work. What comes and goes by chance grows with the root, but a few are not asked to queue
/// for more than their share.
fn headroom(limit: f64, queues: bool) -> f64 {
    let step = (limit.sqrt() / 2.0).max(1.0);
    if queues {
        step.min((limit / 16.0).max(0.5))
    } else {
        step
    }
}
