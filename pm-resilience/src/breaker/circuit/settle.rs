//! Results come back.

use std::time::Duration;

use pm_core::Tick;

use super::{Circuit, NEVER};
use crate::breaker::history::{Entry, History};
use crate::breaker::pass::Pass;
use crate::breaker::word::Word;
use crate::breaker::{Cause, State};
use crate::sync::Ordering;

impl Circuit {
    #[inline]
    pub(in crate::breaker) fn settle(&self, pass: &Pass, failed: bool) {
        let word = self.word();
        if !failed && word.is_quiet(pass.generation()) {
            return;
        }
        self.settle_watched(word, pass, failed, false);
    }

    /// It was cut off when it had had what calls have: that is a failure, and slow.
    pub(in crate::breaker) fn settle_cut_off(&self, pass: &Pass) {
        self.settle_watched(self.word(), pass, true, true);
    }

    /// It ended by being dropped.
    pub(in crate::breaker) fn settle_dropped(&self, pass: &Pass) {
        let had = |since: Tick| self.clock.now().saturating_duration_since(since);
        let armed = self.armed.load();
        let says_nothing = pass.is_curtailed() || pass.is_optional();
        // A call that is cut off says something if it had so long.
        let allowance = armed.slow_after().unwrap_or_else(|| self.lease(&armed));
        match pass.started() {
            Some(since) if !says_nothing && had(since) >= allowance => {
                self.settle_cut_off(pass);
            }
            _ => self.settle_inconclusive(pass),
        }
    }

    /// It says nothing. Its place among the probes is free again.
    pub(in crate::breaker) fn settle_inconclusive(&self, pass: &Pass) {
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
}
