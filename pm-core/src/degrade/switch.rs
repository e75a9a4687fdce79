use std::fmt;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64 as Count, Ordering::Relaxed};

use super::{Changes, Outcome, Probe, Ticket};
use crate::bell::Bell;
use crate::sync::{AtomicU64, Ordering};

/// Says, for each call, whether the primary is to be asked or its fallback; see the
/// [module documentation](super).
///
/// A handle: clones are the same switch. Beginning a call and settling one that went well is one
/// load of a shared word, without a lock.
///
/// Each switch logs one line, level `WARN`, with the name and, on the way down, the reason; the
/// first way up of a switch that was made down is `INFO`.
#[derive(Clone)]
pub struct Switch(Arc<Shared>);

struct Shared {
    name: Box<str>,
    /// The generation in the upper 56 bits, even while up; below it how many deadlines have been
    /// missed in a row.
    word: AtomicU64,
    /// How many missed deadlines in a row throw the switch.
    misses: AtomicU8,
    bell: Bell,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    fallen: Count,
    risen: Count,
    ambiguous: Count,
    abandoned: Count,
    late: Count,
    local: Count,
}

/// Who is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The fallback: the primary is not asked.
    Down,
    /// The primary.
    Up,
}

/// What a [`Switch`] has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SwitchStats {
    /// How often it was thrown from the primary to the fallback.
    pub fallen: u64,
    /// How often it was thrown to the primary.
    pub risen: u64,
    /// Calls of which nobody knows whether the primary acted on them: they timed out, or the
    /// connection broke under them.
    pub ambiguous: u64,
    /// Calls whose caller went away before there was a result.
    pub abandoned: u64,
    /// Results that came when the switch had been thrown since the call began; they changed
    /// nothing.
    pub late: u64,
    /// Calls that were told to ask the fallback.
    pub local: u64,
}

impl Switch {
    /// A switch that begins at the primary. The name is for the log.
    #[must_use]
    pub fn up(name: impl Into<Box<str>>) -> Self {
        Self::at(0, name.into())
    }

    /// A switch that begins at the fallback, until the first [`probe`](Self::probe) passes: for a
    /// primary that is not connected yet.
    #[must_use]
    pub fn down(name: impl Into<Box<str>>) -> Self {
        Self::at(FIRST_DOWN, name.into())
    }

    fn at(generation: u64, name: Box<str>) -> Self {
        Self(Arc::new(Shared {
            name,
            word: AtomicU64::new(generation << GENERATION),
            misses: AtomicU8::new(1),
            bell: Bell::new(),
            counts: Counts::default(),
        }))
    }

    /// Only so many missed deadlines in a row throw the switch, by any of its handles; by default
    /// the first one does. A lost connection or a refusal always does, at once.
    #[must_use]
    pub fn with_misses(self, in_a_row: NonZeroU8) -> Self {
        self.0.misses.store(in_a_row.get(), Relaxed);
        self
    }

    /// Begins a call of the primary; `None` if it is down and the fallback is to answer.
    ///
    /// Never waits. A ticket that is dropped unsettled is counted as abandoned, and nothing else.
    #[must_use]
    pub fn begin(&self) -> Option<Ticket<'_>> {
        let generation = self.generation();
        if is_down(generation) {
            self.0.counts.local.fetch_add(1, Relaxed);
            return None;
        }
        Some(Ticket::new(self, generation))
    }

    /// Begins a probe; `None` if the primary is up and there is nothing to probe.
    ///
    /// For the one task that probes, never for the call of a user.
    #[must_use]
    pub fn probe(&self) -> Option<Probe<'_>> {
        let generation = self.generation();
        is_down(generation).then(|| Probe::new(self, generation))
    }

    /// Who is to answer now.
    #[must_use]
    pub fn state(&self) -> State {
        state(self.generation())
    }

    /// The name that it has in the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Follows the state from now on.
    #[must_use]
    pub fn changes(&self) -> Changes {
        Changes::new(self.clone(), self.generation())
    }

    /// What has been counted.
    #[must_use]
    pub fn stats(&self) -> SwitchStats {
        let counts = &self.0.counts;
        SwitchStats {
            fallen: counts.fallen.load(Relaxed),
            risen: counts.risen.load(Relaxed),
            ambiguous: counts.ambiguous.load(Relaxed),
            abandoned: counts.abandoned.load(Relaxed),
            late: counts.late.load(Relaxed),
            local: counts.local.load(Relaxed),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.0.word.load(Ordering::Acquire) >> GENERATION
    }

    pub(super) fn bell(&self) -> &Bell {
        &self.0.bell
    }

    pub(super) fn settle(&self, generation: u64, outcome: Outcome) {
        if matches!(outcome, Outcome::Lost | Outcome::TimedOut) {
            self.0.counts.ambiguous.fetch_add(1, Relaxed);
        }
        let limit = u64::from(self.0.misses.load(Relaxed));
        let mut word = self.0.word.load(Ordering::Acquire);
        loop {
            if word >> GENERATION != generation {
                self.0.counts.late.fetch_add(1, Relaxed);
                return;
            }
            let misses = word & MISSES;
            let next = match outcome {
                // The path of every call that goes well: nothing is written.
                Outcome::Answered if misses == 0 => return,
                Outcome::Answered => word & !MISSES,
                Outcome::TimedOut if misses + 1 < limit => word + 1,
                Outcome::Lost | Outcome::Refused | Outcome::TimedOut => {
                    (generation + 1) << GENERATION
                }
            };
            match self.exchange(word, next) {
                Ok(()) if next >> GENERATION == generation => return,
                Ok(()) => return self.fallen(outcome),
                Err(current) => word = current,
            }
        }
    }

    pub(super) fn abandon(&self) {
        self.0.counts.abandoned.fetch_add(1, Relaxed);
    }

    /// Throws the switch to the primary, if nobody has since `generation` began.
    pub(super) fn rise(&self, generation: u64) -> bool {
        // While down nothing writes to the lower bits: no ticket bears an odd generation.
        let (word, next) = (generation << GENERATION, (generation + 1) << GENERATION);
        if self.exchange(word, next).is_err() {
            return false;
        }
        self.0.counts.risen.fetch_add(1, Relaxed);
        self.0.bell.ring();
        let name = self.name();
        if generation == FIRST_DOWN && self.0.counts.fallen.load(Relaxed) == 0 {
            tracing::info!(switch = name, "reached for the first time");
        } else {
            tracing::warn!(switch = name, "back: the primary answers again");
        }
        true
    }

    fn fallen(&self, reason: Outcome) {
        self.0.counts.fallen.fetch_add(1, Relaxed);
        self.0.bell.ring();
        tracing::warn!(
            switch = self.name(),
            reason = reason.as_str(),
            "down: the fallback answers until a probe passes"
        );
    }

    fn exchange(&self, current: u64, new: u64) -> Result<(), u64> {
        self.0
            .word
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switch")
            .field("name", &self.name())
            .field("state", &self.state())
            .field("stats", &self.stats())
            .finish()
    }
}

const GENERATION: u32 = 8;
const MISSES: u64 = (1 << GENERATION) - 1;

/// Odd, hence down.
pub(super) const FIRST_DOWN: u64 = 1;

pub(super) const fn state(generation: u64) -> State {
    if is_down(generation) {
        State::Down
    } else {
        State::Up
    }
}

const fn is_down(generation: u64) -> bool {
    generation % 2 == 1
}
