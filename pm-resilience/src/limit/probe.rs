use std::time::Duration;

use pm_core::Tick;

use super::window::QUICKEST;

/// What is let in meanwhile.
const SHARE: f64 = 0.7;

/// How long quiet, and many samples, are waited for where calls do not take longer than that.
const SOME_TIME: Duration = Duration::from_secs(1);

/// A probe of calls that take longer is given up then: there is nothing to be learnt.
const AT_MOST: Duration = Duration::from_secs(10);

/// How soon it is done again if it has found out much, or if the limit has fallen by half.
const AGAIN: Duration = Duration::from_secs(1);

/// Two probes that differ by less than this share have found the same.
const SAME: f64 = 0.1;

/// A window by so much faster than what is known is no chance.
const MUCH_FASTER: f64 = 0.8;

/// How long a call takes if it need not queue, and how that is found out: for a moment less is let in,
/// and what began after the queue was gone is measured.
#[derive(Debug)]
pub(super) struct NoLoad {
    /// In seconds.
    latency: Option<f64>,
    next: Tick,
    probe: Option<Probe>,
    /// When the last one was over, and the limit then.
    last: (Tick, f64),
}

#[derive(Debug)]
struct Probe {
    began: Tick,
    ceiling: u64,
    /// How many calls have ended since.
    ended: u64,
    /// From when on as few were under way as there should be.
    quiet: Option<Tick>,
    seconds: f64,
    samples: u32,
}

impl NoLoad {
    pub(super) fn new(now: Tick, limit: f64) -> Self {
        Self {
            latency: None,
            next: now + AGAIN,
            probe: None,
            last: (now, limit),
        }
    }

    /// What is let in while it is found out.
    pub(super) fn ceiling(&self) -> Option<u64> {
        self.probe.as_ref().map(|probe| probe.ceiling)
    }

    /// A window in which nothing had to queue is as good as a probe.
    pub(super) fn saw_idle(&mut self, latency: f64) {
        let old = self.latency.unwrap_or(latency);
        self.latency = Some(old + (latency - old) * 0.2);
    }

    /// What is known, or the next best guess, which a probe corrects soon: the first window, or one so
    /// much faster that what is known cannot be true any more.
    pub(super) fn or_guess(&mut self, latency: f64, now: Tick) -> f64 {
        match self.latency {
            Some(known) if latency > known * MUCH_FASTER => known,
            _ => {
                self.latency = Some(latency);
                self.next = self.next.min(now + AGAIN);
                latency
            }
        }
    }

    /// A call that began then took so long.
    pub(super) fn sample(&mut self, began: Tick, latency: Duration) {
        if let Some(probe) = &mut self.probe
            && probe.quiet.is_some_and(|quiet| began >= quiet)
        {
            probe.seconds += latency.as_secs_f64();
            probe.samples += 1;
        }
    }

    /// Goes on: begins a probe, or ends one. So many samples are wanted; when there is no more time,
    /// `enough` will do.
    pub(super) fn pass(
        &mut self,
        now: Tick,
        limit: f64,
        in_flight: u64,
        (wanted, enough): (u32, u32),
        every: Duration,
    ) {
        let Some(probe) = &mut self.probe else {
            let (last, then) = self.last;
            let fell = limit < then * 0.5 && now >= last + AGAIN;
            if now >= self.next || fell {
                self.probe = Some(Probe {
                    began: now,
                    ceiling: ((limit * SHARE) as u64).max(1),
                    ended: 0,
                    quiet: None,
                    seconds: 0.0,
                    samples: 0,
                });
            }
            return;
        };
        if probe.quiet.is_none() && in_flight <= probe.ceiling {
            probe.quiet = Some(now);
        }
        probe.ended += 1;
        // All that were under way have ended, and others have come who make no room.
        let is_crowded = probe.quiet.is_none() && probe.ended as f64 >= limit;
        let lasts = if probe.samples >= wanted {
            Duration::ZERO
        } else if probe.samples >= enough || is_crowded {
            SOME_TIME
        } else {
            AT_MOST
        };
        if now < probe.began + lasts {
            return;
        }
        let mean = probe.seconds / f64::from(probe.samples);
        let found = (probe.samples >= enough).then(|| mean.max(QUICKEST));
        let jitter = self.over(now, limit, every);
        let Some(found) = found else { return };
        match self.latency {
            // The same, but for chance: both together are less by chance.
            Some(known) if (found / known - 1.0).abs() <= SAME => {
                self.latency = Some((known + found) / 2.0);
            }
            _ => {
                self.latency = Some(found);
                self.next = now + AGAIN.mul_f64(jitter);
            }
        }
    }

    /// There is nothing to be learnt now: a probe that is under way is over.
    pub(super) fn give_up(&mut self, now: Tick, limit: f64, every: Duration) {
        if self.probe.is_some() {
            self.over(now, limit, every);
        }
    }

    /// A probe is over, until about then; returns what `every` was multiplied by.
    fn over(&mut self, now: Tick, limit: f64, every: Duration) -> f64 {
        self.probe = None;
        self.last = (now, limit);
        let jitter = 0.75 + 0.5 * fastrand::f64();
        self.next = now + every.mul_f64(jitter);
        jitter
    }
}
