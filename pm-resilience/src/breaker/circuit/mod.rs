mod settle;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use pm_core::reload::InvalidSetting;
use pm_core::{Clock, Tick};
use tokio::sync::Notify;

use super::armed::Armed;
use super::history::{History, Sum};
use super::pass::Pass;
use super::stats::Counters;
use super::transition::Transition;
use super::word::Word;
use super::{BreakerSettings, BreakerStats, Cause, Counts, Mode, State};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use crate::telemetry::BreakerMetrics;
use crate::{Pattern, Reason, Rejection, Timeout};

/// How long a probe has if nothing else is said.
const LEASE: Duration = Duration::from_secs(10);

/// What all handles of a breaker share.
///
/// While it is closed, calls read and count in the word and in the window, and take no lock.
/// Whatever leads from one generation to the next, and whatever probes do, is done by one thread at
/// a time under `trail`, so that the word and the deadline beside it belong together. There the
/// deadline is written before the word: who has read the word finds that deadline, or a later one.
pub(super) struct Circuit {
    name: Arc<str>,
    /// Which of the breakers of that name it is, for the log.
    key: Option<Box<str>>,
    clock: Clock,
    /// Whose longest time a probe has if the settings do not say.
    timeout: Option<Timeout>,
    word: AtomicU64,
    /// Until when it is open, or until when its last probe has a lease: nanoseconds.
    until: AtomicU64,
    armed: ArcSwap<Armed>,
    /// The window that it was made with. As long as that is in force, which the word says, calls
    /// that are neither failures nor slow do not ask what is armed.
    first: Option<Arc<History>>,
    /// From how many nanoseconds on a call is slow.
    slow_after: AtomicU64,
    trail: Mutex<Trail>,
    changed: Notify,
    counters: Counters,
    metrics: Arc<BreakerMetrics>,
}

/// What only transitions need.
#[derive(Default)]
struct Trail {
    /// How often it has opened since it was closed.
    opened: u32,
    opened_by: Option<Cause>,
    /// Made under the lock, told behind it.
    untold: Option<Transition>,
}

impl Circuit {
    /// A circuit of settings that were checked.
    pub(super) fn new(
        name: Arc<str>,
        key: Option<Box<str>>,
        settings: BreakerSettings,
        clock: Clock,
        metrics: Arc<BreakerMetrics>,
    ) -> Self {
        let state = settings.mode.state();
        let armed = Armed::new(settings, None, 0);
        let first = armed.history.clone();
        let word = Word::new(state).watching(armed.watched(first.as_ref()));
        metrics.entered(state);
        Self {
            name,
            key,
            clock,
            timeout: None,
            word: AtomicU64::new(word.bits()),
            until: AtomicU64::new(0),
            slow_after: AtomicU64::new(armed.slow_nanos()),
            armed: ArcSwap::from_pointee(armed),
            first,
            trail: Mutex::new(Trail::default()),
            changed: Notify::new(),
            counters: Counters::new(),
            metrics,
        }
    }

    /// Another one, on this clock.
    pub(super) fn on(&self, clock: Clock) -> Self {
        let (name, metrics) = (Arc::clone(&self.name), Arc::clone(&self.metrics));
        let mut circuit = Self::new(name, self.key.clone(), self.settings(), clock, metrics);
        circuit.timeout.clone_from(&self.timeout);
        circuit
    }

    /// Another one, that the log tells apart by this key.
    pub(super) fn called(&self, key: Box<str>) -> Self {
        let mut circuit = self.on(self.clock.clone());
        circuit.key = Some(key);
        circuit
    }

    /// Another one, whose probes have the longest of these times if the settings do not say.
    pub(super) fn leasing(&self, timeout: Timeout) -> Self {
        let mut circuit = self.on(self.clock.clone());
        circuit.timeout = Some(timeout);
        circuit
    }

    fn lease(&self, armed: &Armed) -> Duration {
        let longest = || self.timeout.as_ref().map(Timeout::longest);
        armed.settings.probe_lease.or_else(longest).unwrap_or(LEASE)
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    #[inline]
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    #[inline]
    pub(super) fn word(&self) -> Word {
        Word::from_bits(self.word.load(Ordering::Acquire))
    }

    /// Whether nothing is lost without it: it is closed, or it could have been probed for as long as
    /// it is open at first, and nobody came.
    pub(super) fn is_idle(&self) -> bool {
        match self.word().state() {
            State::Closed | State::Disabled => true,
            State::ForcedOpen | State::ForcedClosed => false,
            State::Open | State::HalfOpen => {
                self.clock.now() >= self.until() + self.armed.load().settings.open_for
            }
        }
    }

    pub(super) fn changed(&self) -> &Notify {
        &self.changed
    }

    pub(super) fn settings(&self) -> BreakerSettings {
        self.armed.load().settings.clone()
    }

    // ---- calls come in ----

    #[inline]
    pub(super) fn admit_closed(&self, word: Word) -> Option<Pass> {
        (word.state() == State::Closed).then(|| self.closed_pass(word))
    }

    #[inline]
    fn closed_pass(&self, word: Word) -> Pass {
        Pass::new(word.generation(), word.is_timed().then(|| self.clock.now()))
    }

    pub(super) fn admit_or_reject(&self, word: Word) -> Result<Pass, Rejection> {
        if matches!(word.state(), State::ForcedClosed | State::Disabled) {
            return Ok(Pass::unwatched());
        }
        let armed = self.armed.load();
        let settings = &armed.settings;
        let now = self.clock.now();
        // Nearly all end here, without the lock.
        let refused = match self.refusal(word, settings.probes, now) {
            Some(refusal) => Err(refusal),
            None => self.exclusively(|trail| self.admit_or_refuse(trail, &armed, now)),
        };
        refused.or_else(|(reason, wait)| {
            if settings.mode == Mode::ObserveOnly && reason != Reason::ForcedOpen {
                self.counters.observed.increment();
                self.metrics.observed();
                return Ok(Pass::unwatched());
            }
            self.counters.rejected.increment();
            self.metrics.rejected(reason);
            let rejection = Rejection::new(Arc::clone(&self.name), Pattern::Breaker, reason);
            Err(match wait {
                Some(wait) => rejection.with_retry_after(wait),
                None => rejection,
            })
        })
    }

    fn admit_or_refuse(
        &self,
        trail: &mut Trail,
        armed: &Armed,
        now: Tick,
    ) -> Result<Pass, Refusal> {
        let probes = armed.settings.probes;
        let mut word = self.word();
        if let Some(refusal) = self.refusal(word, probes, now) {
            return Err(refusal);
        }
        match word.state() {
            State::Closed => return Ok(self.closed_pass(word)),
            State::ForcedClosed | State::Disabled => return Ok(Pass::unwatched()),
            State::ForcedOpen => return Err((Reason::ForcedOpen, None)),
            State::Open => word = self.turn(trail, State::HalfOpen, Cause::OpenTimeOver),
            State::HalfOpen if word.in_flight().saturating_add(word.passed()) < probes => {}
            // All of them are out, and the lease of the last is over. They belong to the past now.
            State::HalfOpen => {
                let passed = word.passed();
                word = self.turn(trail, State::HalfOpen, Cause::ProbeLost);
                word = word.with_probes(0, passed);
            }
        }
        self.set_until(now + self.lease(armed));
        self.probes(word, word.in_flight() + 1, word.passed());
        Ok(Pass::new(word.generation(), Some(now)))
    }

    /// Why a call may not come in now, and how long that lasts at most.
    fn refusal(&self, word: Word, probes: u8, now: Tick) -> Option<Refusal> {
        let wait = self.until().saturating_duration_since(now);
        let wait = (!wait.is_zero()).then_some(wait);
        match word.state() {
            State::ForcedOpen => Some((Reason::ForcedOpen, None)),
            State::Open => wait.map(|wait| (Reason::Open, Some(wait))),
            State::HalfOpen if word.in_flight().saturating_add(word.passed()) < probes => None,
            State::HalfOpen => wait.map(|wait| (Reason::Probing, Some(wait))),
            State::Closed | State::ForcedClosed | State::Disabled => None,
        }
    }

    // ---- by hand ----

    pub(super) fn force(&self, to: State, note: Option<String>) {
        self.exclusively(|trail| {
            if self.word().state() != to {
                self.turn(trail, to, Cause::Forced);
                if let Some(transition) = &mut trail.untold {
                    transition.note = note;
                }
            }
        });
    }

    pub(super) fn release(&self) {
        self.exclusively(|trail| {
            if self.word().state().is_forced() {
                let to = self.armed.load().settings.mode.state();
                self.turn(trail, to, Cause::Released);
            }
        });
    }

    pub(super) fn reload(&self, settings: BreakerSettings) -> Result<(), InvalidSetting> {
        settings.check()?;
        self.exclusively(|trail| {
            let word = self.word();
            let rests = settings.mode.state();
            let armed = Armed::new(settings, Some(&self.armed.load()), word.generation());
            let watched = armed.watched(self.first.as_ref());
            self.slow_after.store(armed.slow_nanos(), Ordering::Relaxed);
            self.armed.store(Arc::new(armed));
            self.replace(|word| word.watching(watched));
            let was_disabled = word.state() == State::Disabled;
            if !word.state().is_forced() && was_disabled != (rests == State::Disabled) {
                self.turn(trail, rests, Cause::Reloaded);
            }
        });
        Ok(())
    }

    pub(super) fn stats(&self) -> BreakerStats {
        let opened_by = self.trail().opened_by;
        let word = self.word();
        let counters = &self.counters;
        BreakerStats {
            state: word.state(),
            opened_by,
            counts: self.counts(word),
            transitions: counters.transitions.get(),
            rejected: counters.rejected.get(),
            observed: counters.observed.get(),
            ignored: counters.ignored.get(),
            inconclusive: counters.inconclusive.get(),
        }
    }

    // ---- from one generation to the next, under the lock ----

    fn exclusively<T>(&self, work: impl FnOnce(&mut Trail) -> T) -> T {
        let (done, untold) = {
            let mut trail = self.trail();
            let done = work(&mut trail);
            (done, trail.untold.take())
        };
        // Who listens is somebody else's code, and may well call this breaker.
        if let Some(transition) = untold {
            self.metrics.moved(transition.from, transition.to);
            self.changed.notify_waiters();
            transition.log(&self.name, self.key.as_deref());
        }
        done
    }

    fn open(&self, trail: &mut Trail, cause: Cause) {
        let now = self.clock.now();
        trail.opened = trail.opened.saturating_add(1);
        trail.opened_by = Some(cause);
        let settings = &self.armed.load().settings;
        let open_for = settings.open_time(trail.opened, fastrand::f64());
        self.set_until(now + open_for);
        self.turn(trail, State::Open, cause);
        if let Some(transition) = &mut trail.untold {
            transition.open_for = Some(open_for);
        }
    }

    /// Leads to the next generation, and returns its first word.
    fn turn(&self, trail: &mut Trail, to: State, cause: Cause) -> Word {
        let word = self.word();
        let counts = self.counts(word);
        if to == State::Closed {
            trail.opened = 0;
            if let Some(history) = &self.armed.load().history {
                history.restart(word.turned(to).generation());
            }
        }
        let next = self.replace(|word| word.turned(to));
        self.counters.transitions.increment();
        trail.untold = Some(Transition {
            from: word.state(),
            to,
            cause,
            counts,
            open_for: None,
            note: None,
        });
        next
    }

    /// Closed calls count in the word without the lock, hence the loop.
    fn replace(&self, change: impl Fn(Word) -> Word) -> Word {
        let mut word = self.word();
        loop {
            let next = change(word);
            match self.exchange(word, next) {
                Ok(()) => return next,
                Err(current) => word = current,
            }
        }
    }

    /// While it is half open nobody writes to the word without the lock.
    fn probes(&self, word: Word, in_flight: u8, passed: u8) {
        let word = word.with_probes(in_flight, passed);
        self.word.store(word.bits(), Ordering::Release);
    }

    fn counts(&self, word: Word) -> Counts {
        let closed = word.state() == State::Closed;
        let sum = match &self.armed.load().history {
            Some(history) if closed => history.sum(word.generation(), self.clock.now()),
            _ => Sum::default(),
        };
        Counts {
            in_a_row: if closed { word.failures() } else { 0 },
            calls: sum.calls,
            failed: sum.failed,
            slow: sum.slow,
        }
    }

    fn exchange(&self, current: Word, new: Word) -> Result<(), Word> {
        self.word
            .compare_exchange(
                current.bits(),
                new.bits(),
                Ordering::AcqRel,
                Ordering::Acquire,
            )
            .map(drop)
            .map_err(Word::from_bits)
    }

    fn until(&self) -> Tick {
        Tick::from_nanos(self.until.load(Ordering::Acquire))
    }

    fn set_until(&self, until: Tick) {
        self.until.store(until.as_nanos(), Ordering::Release);
    }

    fn trail(&self) -> MutexGuard<'_, Trail> {
        self.trail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Circuit {
    fn drop(&mut self) {
        self.metrics.left(self.word().state());
    }
}

type Refusal = (Reason, Option<Duration>);

/// More nanoseconds than a setting may say.
pub(super) const NEVER: u64 = u64::MAX;
