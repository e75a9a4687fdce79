use std::time::Duration;

use pm_core::Tick;

use super::LimitSettings;

/// Calls that are quicker, in seconds, are not told apart: nothing can queue in there, and next to
/// nothing at all anything would look like a queue.
pub(super) const QUICKEST: f64 = 1e-6;

/// What was seen since the limit last moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    began: Tick,
    nanos: u128,
    answered: u64,
    lost: u64,
    /// Most calls under way at the same time.
    pub(super) most: u64,
}

impl Window {
    pub(super) const fn new(began: Tick) -> Self {
        Self {
            began,
            nanos: 0,
            answered: 0,
            lost: 0,
            most: 0,
        }
    }

    /// A call took so long; or none, if it was lost.
    pub(super) fn add(&mut self, latency: Option<Duration>, in_flight: u64) {
        match latency {
            Some(latency) => {
                self.answered += 1;
                self.nanos += latency.as_nanos();
            }
            None => self.lost += 1,
        }
        self.most = self.most.max(in_flight);
    }

    /// Whether it says enough. A window shorter than a call would judge by calls that began under
    /// another limit.
    pub(super) fn is_full(&self, now: Tick, settings: &LimitSettings) -> bool {
        let call = self
            .latency()
            .map_or(Duration::ZERO, Duration::from_secs_f64);
        now >= self.began + settings.window.max(call)
            && self.answered + self.lost >= u64::from(settings.samples)
    }

    /// The mean latency of what was answered, in seconds: never below [`QUICKEST`].
    pub(super) fn latency(&self) -> Option<f64> {
        let mean = || self.nanos as f64 / self.answered as f64 / 1e9;
        (self.answered > 0).then(|| mean().max(QUICKEST))
    }

    /// Which share was lost.
    pub(super) fn loss(&self) -> f64 {
        self.lost as f64 / (self.answered + self.lost).max(1) as f64
    }
}
