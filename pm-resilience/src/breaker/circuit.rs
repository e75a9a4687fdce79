use std::sync::{Arc, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use pm_core::reload::InvalidSetting;
use pm_core::{Clock, Tick};
use tokio::sync::Notify;

use super::armed::Armed;
use super::history::{Entry, History, Sum};
use super::pass::Pass;
use super::stats::Counters;
use super::transition::Transition;
use super::word::Word;
use super::{BreakerSettings, BreakerStats, Cause, Counts, Mode, State};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use crate::telemetry::BreakerMetrics;
use crate::{Pattern, Reason, Rejection};

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
        Self::new(name, self.key.clone(), self.settings(), clock, metrics)
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
        self.set_until(now + armed.lease());
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

    // ---- results come back ----

    #[inline]
    pub(super) fn settle(&self, pass: &Pass, failed: bool) {
        let word = self.word();
        if !failed && word.is_quiet(pass.generation()) {
            return;
        }
        self.settle_watched(word, pass, failed, false);
    }

    /// It was cut off when it had had what calls have: that is a failure, and slow.
    pub(super) fn settle_cut_off(&self, pass: &Pass) {
        self.settle_watched(self.word(), pass, true, true);
    }

    /// It ended by being dropped.
    pub(super) fn settle_dropped(&self, pass: &Pass) {
        let had = |since: Tick| self.clock.now().saturating_duration_since(since);
        let allowance = self.armed.load().allowance();
        match pass.started() {
            Some(since) if !pass.is_curtailed() && had(since) >= allowance => {
                self.settle_cut_off(pass);
            }
            _ => self.settle_inconclusive(pass),
        }
    }

    /// It says nothing. Its place among the probes is free again.
    pub(super) fn settle_inconclusive(&self, pass: &Pass) {
        if !pass.is_watched() {
            return;
        }
        self.counters.inconclusive.increment();
        let is_probe =
            |word: Word| word.state() == State::HalfOpen && word.generation() == pass.generation();
        if is_probe(self.word()) {
            self.exclusively(|_| {
                let word = self.word();
                if is_probe(word) {
                    self.probes(word, word.in_flight().saturating_sub(1), word.passed());
                }
            });
        }
    }

    fn settle_watched(&self, word: Word, pass: &Pass, failed: bool, slow: bool) {
        if !pass.is_watched() {
            return;
        }
        let counted = word.generation() == pass.generation()
            && match word.state() {
                State::Closed => self.settle_call(word, pass, failed, slow),
                State::HalfOpen => self.settle_probe(pass, failed, slow),
                // No pass of theirs is watched.
                State::Open | State::ForcedOpen | State::ForcedClosed | State::Disabled => true,
            };
        if !counted {
            self.counters.ignored.increment();
            self.metrics.ignored();
        }
    }

    /// False if it came too late.
    fn settle_call(&self, word: Word, pass: &Pass, failed: bool, slow: bool) -> bool {
        let generation = pass.generation();
        let mut tripped = None;
        if word.is_windowed() {
            let armed;
            let first = self.first.as_deref().filter(|_| word.is_first());
            let history = match first {
                Some(first) => Some(first),
                None => {
                    armed = self.armed.load();
                    armed.history.as_deref()
                }
            };
            if let Some(history) = history {
                tripped = self.record(history, pass, failed, slow);
            }
        }
        if failed {
            match self.count_failure(generation) {
                None => return false,
                Some(true) => tripped = Some(Cause::ConsecutiveFailures),
                Some(false) => {}
            }
        } else if word.failures() > 0 {
            self.forget_failures(generation);
        }
        if let Some(cause) = tripped {
            self.trip(generation, cause);
        }
        true
    }

    /// Why the window opens the breaker now, if it does.
    #[inline]
    fn record(&self, history: &History, pass: &Pass, failed: bool, slow: bool) -> Option<Cause> {
        let slow_after = self.slow_after.load(Ordering::Relaxed);
        let watches_slow = slow_after < NEVER;
        let now = if history.is_timed() || (watches_slow && pass.started().is_some()) {
            self.clock.now()
        } else {
            Tick::ZERO
        };
        let slow_after = Duration::from_nanos(slow_after);
        let slow = watches_slow && (slow || pass.is_slow(Some(slow_after), now));
        let entry = Entry { failed, slow };
        history.record(pass.generation(), now, entry);
        if !failed && !slow {
            return None;
        }
        let sum = history.sum(pass.generation(), now);
        self.armed.load().verdict(sum, entry)
    }

    /// Whether they are too many; nothing if it came too late.
    #[cold]
    fn count_failure(&self, generation: u64) -> Option<bool> {
        let limit = self.armed.load().settings.consecutive_failures;
        let mut word = self.word();
        loop {
            if word.generation() != generation {
                return None;
            }
            let failures = word.failures().saturating_add(1);
            match self.exchange(word, word.with_failures(failures)) {
                Ok(()) => return Some(limit > 0 && failures >= limit),
                Err(current) => word = current,
            }
        }
    }

    fn forget_failures(&self, generation: u64) {
        let mut word = self.word();
        while word.generation() == generation && word.failures() > 0 {
            match self.exchange(word, word.with_failures(0)) {
                Ok(()) => return,
                Err(current) => word = current,
            }
        }
    }

    #[cold]
    fn trip(&self, generation: u64, cause: Cause) {
        self.exclusively(|trail| {
            // Another one may have been faster: then it has opened, for as good a reason.
            if self.word().generation() == generation {
                self.open(trail, cause);
            }
        });
    }

    /// False if it came too late.
    #[cold]
    fn settle_probe(&self, pass: &Pass, failed: bool, slow: bool) -> bool {
        let armed = self.armed.load();
        let slow_after = armed.slow_after();
        let slow = slow || pass.is_slow(slow_after, self.clock.now());
        self.exclusively(|trail| {
            let word = self.word();
            if word.generation() != pass.generation() {
                return false;
            }
            let passed = word.passed().saturating_add(1);
            if failed {
                self.open(trail, Cause::ProbeFailed);
            } else if slow {
                self.open(trail, Cause::ProbeSlow);
            } else if passed >= armed.settings.probes {
                self.turn(trail, State::Closed, Cause::ProbesPassed);
            } else {
                self.probes(word, word.in_flight().saturating_sub(1), passed);
            }
            true
        })
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
