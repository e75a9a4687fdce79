use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use pm_core::{Clock, Tick};

use super::changes::Changes;
use super::{Declared, Named, Word};
use crate::block::{Cause, after};
use crate::telemetry;

/// Who has said what a reading says.
const AUTOMATIC: &str = "automatic";

/// Which profile is in force, and what has been said about it.
#[derive(Debug)]
pub(super) struct Switch {
    pub(super) profiles: Box<[Named]>,
    pub(super) clock: Clock,
    /// What is below is changed inside [`Changes::make`] alone.
    changes: Changes,
    current: ArcSwapOption<Current>,
    /// The last that was said by somebody, on whichever instance.
    word: Mutex<Option<Word>>,
}

/// What is in force.
#[derive(Debug)]
pub(super) struct Current {
    /// Of the profile.
    number: u16,
    pub(super) until: Tick,
    pub(super) declared: Declared,
}

impl Switch {
    pub(super) fn new(profiles: Box<[Named]>, changes: Changes, clock: Clock) -> Self {
        Self {
            profiles,
            clock,
            changes,
            current: ArcSwapOption::empty(),
            word: Mutex::default(),
        }
    }

    /// The number of the profile that is in force now.
    #[inline]
    pub(super) fn in_force(&self) -> Option<u16> {
        let current = self.current.load();
        let current = current.as_ref()?;
        if self.clock.now() < current.until {
            return Some(current.number);
        }
        self.lapse();
        None
    }

    pub(super) fn current(&self) -> Option<Arc<Current>> {
        self.in_force()?;
        self.current.load_full()
    }

    /// By somebody; `None` if there is no such profile.
    pub(super) fn enter(
        &self,
        profile: &str,
        lasting: Duration,
        by: Box<str>,
        because: Box<str>,
    ) -> Option<Declared> {
        let current = self.made(profile, Cause::Manual, lasting, by, because)?;
        self.changes.make(|| {
            let declared = current.declared.clone();
            self.say(&declared.by, Some(&declared));
            self.put_into_force(&current);
            Some((Some(current), declared))
        })
    }

    /// By a reading, if nothing else is in force.
    pub(super) fn enter_automatically(&self, profile: &str, lasting: Duration) {
        let (by, because) = (AUTOMATIC.into(), "the reading is high".into());
        let made = self.made(profile, Cause::Automatic, lasting, by, because);
        let Some(current) = made else { return };
        self.changes.make(|| {
            if self.current.load().is_some() {
                return None;
            }
            self.put_into_force(&current);
            Some((Some(current), ()))
        });
    }

    /// Of what is in force, only the end is another one.
    pub(super) fn prolong(&self, known: &Arc<Current>, lasting: Duration) {
        let until_micros = after(self.clock.wall_micros(), lasting);
        let current = Arc::new(Current {
            number: known.number,
            until: self.clock.now() + lasting,
            declared: Declared {
                until_micros,
                ..known.declared.clone()
            },
        });
        self.changes.make(|| {
            let same = self.current.load();
            let same = same.as_ref().is_some_and(|same| Arc::ptr_eq(same, known));
            same.then(|| {
                self.current.store(Some(Arc::clone(&current)));
                (Some(current), ())
            })
        });
    }

    /// By somebody. It is said also if nothing is in force here.
    pub(super) fn leave(&self, by: &str) -> Option<Declared> {
        self.changes.make(|| {
            self.say(by, None);
            self.end(by, |_| true)
        })
    }

    /// By a reading, if it has been declared by one.
    pub(super) fn leave_automatically(&self) {
        let automatic = |current: &Current| current.declared.cause == Cause::Automatic;
        self.changes.make(|| self.end(AUTOMATIC, automatic));
    }

    /// What is over by its time is over for the hooks, too.
    #[cold]
    fn lapse(&self) {
        let now = self.clock.now();
        let is_over = |current: &Current| current.until <= now;
        self.changes.make(|| self.end("its time", is_over));
    }

    /// The last that somebody has said.
    pub(super) fn word(&self) -> Option<Word> {
        self.words().clone()
    }

    /// The word that stands, after the store was told that `told` is the last one known here. Returns
    /// whether it is news that nothing is in force: to an instance that has just started, what was left
    /// before is none.
    pub(super) fn hear(&self, word: Word, told: Option<&Word>) -> bool {
        let mut is_over = false;
        self.changes.make(|| {
            let mut known = self.words();
            // What was said here meanwhile is later.
            if known.as_ref() != told || known.as_ref() == Some(&word) {
                return None;
            }
            *known = Some(word.clone());
            drop(known);
            let now = self.clock.wall_micros();
            let left = u64::try_from(word.until_micros.saturating_sub(now)).unwrap_or(0);
            let is_left = word.profile.is_none();
            let Some(profile) = word.profile.filter(|_| left > 0) else {
                // What a reading has declared since then is not meant.
                let is_meant = |current: &Current| {
                    let declared = &current.declared;
                    declared.cause == Cause::Manual || declared.since_micros <= word.said_micros
                };
                let ended = self.end(&word.by, is_meant);
                is_over = is_left && (told.is_some() || ended.is_some());
                return ended;
            };
            let lasting = Duration::from_micros(left);
            let made = self.made(&profile, Cause::Manual, lasting, word.by, word.because);
            if made.is_none() {
                tracing::warn!(
                    profile = &*profile,
                    "an emergency of another instance has no profile here"
                );
            }
            let current = made?;
            self.put_into_force(&current);
            let declared = current.declared.clone();
            Some((Some(current), declared))
        });
        is_over
    }

    fn made(
        &self,
        profile: &str,
        cause: Cause,
        lasting: Duration,
        by: Box<str>,
        because: Box<str>,
    ) -> Option<Arc<Current>> {
        let mut names = self.profiles.iter().map(|(name, _)| name);
        let number = names.position(|name| **name == *profile)?;
        let since_micros = self.clock.wall_micros();
        Some(Arc::new(Current {
            // There are at most 64.
            number: number as u16,
            until: self.clock.now() + lasting,
            declared: Declared {
                profile: Arc::clone(&self.profiles[number].0),
                cause,
                since_micros,
                until_micros: after(since_micros, lasting),
                by,
                because,
            },
        }))
    }

    /// Later than all that was heard, whatever the clock shows.
    fn say(&self, by: &str, declared: Option<&Declared>) {
        let mut known = self.words();
        let now = self.clock.wall_micros();
        let heard = known.as_ref().map_or(i64::MIN, |known| known.said_micros);
        *known = Some(Word {
            profile: declared.map(|declared| (&*declared.profile).into()),
            said_micros: now.max(heard.saturating_add(1)),
            until_micros: declared.map_or(now, |declared| declared.until_micros),
            by: by.into(),
            because: declared.map_or_else(Box::default, |declared| declared.because.clone()),
        });
    }

    fn put_into_force(&self, current: &Arc<Current>) {
        let known = self.current.swap(Some(Arc::clone(current)));
        let declared = &current.declared;
        telemetry::emergency_over(known.as_ref().map(|known| &known.declared));
        telemetry::emergency_declared(declared);
        tracing::warn!(
            profile = &*declared.profile,
            cause = declared.cause.as_str(),
            by = &*declared.by,
            because = &*declared.because,
            until_micros = declared.until_micros,
            "an emergency is declared"
        );
    }

    fn end(
        &self,
        by: &str,
        is_meant: impl FnOnce(&Current) -> bool,
    ) -> Option<(Option<Arc<Current>>, Declared)> {
        let known = self.current.load_full()?;
        if !is_meant(&known) {
            return None;
        }
        self.current.store(None);
        telemetry::emergency_over(Some(&known.declared));
        tracing::info!(
            profile = &*known.declared.profile,
            by,
            "an emergency is over"
        );
        Some((None, known.declared.clone()))
    }

    fn words(&self) -> MutexGuard<'_, Option<Word>> {
        self.word.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
