use std::time::Duration;

use pm_core::Tick;

use super::{CheckSettings, Weight};

/// What is known of a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// It works.
    Up,
    /// It does not.
    Down,
    /// Nothing is known yet.
    Unknown,
    /// It was up, but that was too long ago to count.
    Stale,
}

/// A dependency, as it is known to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dependency {
    /// What it is called.
    pub name: String,
    /// What it means if it is down.
    pub weight: Weight,
    /// What is known of it.
    pub status: Status,
    /// How long the last check took. None before there was one.
    pub latency: Option<Duration>,
    /// How long ago the last check ended. None before there was one.
    pub age: Option<Duration>,
}

/// What the checks of one dependency have found: state and time in, status out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Observed {
    /// Up or down. None before it was either.
    up: Option<bool>,
    /// How many checks in a row have said the same as the last one, and what.
    streak: (bool, u32),
    /// Whether it was ever up.
    pub(super) seen: bool,
    pub(super) last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) at: Tick,
    pub(super) latency: Duration,
}

impl Observed {
    /// Takes in what a check found. Returns what it changes to, if it does.
    pub(super) fn take(
        &mut self,
        passed: bool,
        last: Last,
        settings: &CheckSettings,
    ) -> Option<Status> {
        self.last = Some(last);
        let (said, times) = self.streak;
        let times = if said == passed {
            times.saturating_add(1)
        } else {
            1
        };
        self.streak = (passed, times);
        let enough = if passed {
            settings.successes
        } else {
            settings.failures
        };
        if self.up == Some(passed) || times < enough.get() {
            return None;
        }
        self.up = Some(passed);
        self.seen |= passed;
        Some(if passed { Status::Up } else { Status::Down })
    }

    pub(super) fn status(&self, now: Tick, settings: &CheckSettings) -> Status {
        match (self.up, self.last) {
            (None, _) | (_, None) => Status::Unknown,
            (Some(false), _) => Status::Down,
            (Some(true), Some(last)) if now > last.at + settings.stale_after() => Status::Stale,
            (Some(true), Some(_)) => Status::Up,
        }
    }
}

impl Status {
    /// Whether it can be relied on.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self, Self::Up)
    }

    /// The name in logs and answers.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::Stale => "stale",
        }
    }
}
