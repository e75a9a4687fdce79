use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pm_core::Clock;
use pm_core::reload::InvalidSetting;

use super::BudgetSettings;
use super::word::{Terms, Word};

/// A retry budget; see the [module documentation](super).
///
/// A handle: clones are the same budget. Give everything that retries the same dependency one
/// budget, hedges included.
#[derive(Clone)]
pub struct Budget(Arc<Shared>);

struct Shared {
    word: Word,
    /// The bits of [`BudgetSettings`]: every call reads them.
    settings: AtomicU64,
    clock: Clock,
}

impl Budget {
    /// An empty budget, but for the floor of one second.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names it.
    pub fn new(settings: BudgetSettings) -> Result<Self, InvalidSetting> {
        settings.check()?;
        Ok(Self::build(settings, Clock::system()))
    }

    /// So many retries per 100 calls, at most 1,000, with no floor and at most 100 saved up.
    #[must_use]
    pub fn percent(percent: u32) -> Self {
        let settings = BudgetSettings {
            percent: percent.min(BudgetSettings::MOST),
            floor_per_second: 0,
            ..BudgetSettings::new()
        };
        Self::build(settings, Clock::system())
    }

    /// A budget of its own with so many retries each second on top, at most 1,000.
    #[must_use]
    pub fn with_floor_per_second(self, retries: u32) -> Self {
        let settings = BudgetSettings {
            floor_per_second: retries.min(BudgetSettings::MOST),
            ..self.settings()
        };
        Self::build(settings, self.0.clock.clone())
    }

    /// A budget of its own by another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self::build(self.settings(), clock)
    }

    fn build(settings: BudgetSettings, clock: Clock) -> Self {
        Self(Arc::new(Shared {
            word: Word::new(millis(&clock)),
            settings: AtomicU64::new(settings.bits()),
            clock,
        }))
    }

    /// A call is made, that may be retried or not: its share is saved up.
    ///
    /// One atomic step; not even that while the reserve is full. Reads no clock.
    pub fn deposit(&self) {
        self.0.word.deposit(self.terms());
    }

    /// Takes one retry, if there is one. One atomic step.
    ///
    /// Take it before the wait that precedes the retry, so that those who wait are counted.
    #[must_use = "a retry that was taken is to be made"]
    pub fn try_withdraw(&self) -> bool {
        self.0
            .word
            .try_withdraw(self.terms(), millis(&self.0.clock))
    }

    /// How many retries calls have saved up, without the floor.
    #[must_use]
    pub fn saved(&self) -> u32 {
        self.0.word.saved()
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> BudgetSettings {
        BudgetSettings::from_bits(self.0.settings.load(Ordering::Relaxed))
    }

    /// Changes the settings. What was saved up stays, up to the new reserve.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names it, and nothing has changed.
    pub fn reload(&self, settings: BudgetSettings) -> Result<(), InvalidSetting> {
        settings.check()?;
        let bits = settings.bits();
        self.0.settings.store(bits, Ordering::Relaxed);
        self.0.word.truncate(self.terms());
        Ok(())
    }

    fn terms(&self) -> Terms {
        Terms::from(&self.settings())
    }
}

fn millis(clock: &Clock) -> u64 {
    clock.now().as_nanos() / 1_000_000
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("saved", &self.saved())
            .field("settings", &self.settings())
            .finish_non_exhaustive()
    }
}
