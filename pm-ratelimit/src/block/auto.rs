use std::time::Duration;

use pm_core::Cidr;

use super::entry::after;
use super::{Cause, Effect, Entry};
use crate::violations::Threshold;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// When an address is blocked for its violations, and for how long.
///
/// The defaults: by the 50th violation within 10 minutes, for 15 minutes. Each further block is
/// twice as long as the one before it, up to 7 days; for each day that passes after a block has
/// ended, one doubling is forgotten. If somebody lifts a block, all of them are.
///
/// Each instance counts the refusals that it sees. Only those count whose address somebody
/// [vouches for](crate::Incident::unverified): the other end of a connection, or what trusted
/// proxies say of it. A header alone blocks nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct AutoBlock {
    threshold: Threshold,
    first: Duration,
    longest: Duration,
    decay: Duration,
}

impl AutoBlock {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            threshold: Threshold::more_than(49, Duration::from_secs(10 * 60)),
            first: Duration::from_secs(15 * 60),
            longest: Duration::from_secs(7 * 24 * 60 * 60),
            decay: DAY,
        }
    }

    /// By which violation within which time.
    pub const fn threshold(mut self, threshold: Threshold) -> Self {
        self.threshold = threshold;
        self
    }

    /// For how long the first time.
    pub const fn starting_at(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }

    /// For how long at most.
    pub const fn doubling_to(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// After which time without a block one doubling is forgotten. At least a minute.
    pub fn decaying_every(mut self, decay: Duration) -> Self {
        self.decay = decay.max(MINUTE);
        self
    }

    pub(super) const fn threshold_of(&self) -> Threshold {
        self.threshold
    }

    /// The block for an address of which this was known.
    pub(super) fn entry(&self, prefix: Cidr, known: Option<&Entry>, now: i64) -> Entry {
        let level = known.map_or(0, |known| self.remembered(known, now)) + 1;
        let doubled = 2u32.checked_pow(level - 1).unwrap_or(u32::MAX);
        let until = after(now, self.first.saturating_mul(doubled).min(self.longest));
        Entry {
            prefix,
            effect: Effect::Block,
            cause: Cause::Automatic,
            reason: format!(
                "{} violations within {:?}",
                self.threshold.count(),
                self.threshold.within()
            )
            .into(),
            actor: "automatic".into(),
            since_micros: now,
            until_micros: Some(until),
            level,
            forgotten_micros: after(until, self.decay.saturating_mul(level)),
            version: 0,
        }
    }

    /// How many blocks before this one still count.
    fn remembered(&self, known: &Entry, now: i64) -> u32 {
        let ended = known.until_micros.unwrap_or(now);
        let quiet = now.saturating_sub(ended).max(0) as u128;
        let forgotten = quiet / self.decay.as_micros().max(1);
        known
            .level
            .saturating_sub(forgotten.min(u128::from(u32::MAX)) as u32)
    }
}

impl Default for AutoBlock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn blocks_double_up_to_a_week_and_are_forgotten_day_by_day() {
        let auto = AutoBlock::new();
        let prefix = "192.0.2.1/32".parse().expect("valid");
        let (mut known, mut now, mut minutes) = (None, 0, Vec::new());
        for _ in 0..12 {
            let entry = auto.entry(prefix, known.as_ref(), now);
            let until = entry.until_micros.expect("it ends");
            minutes.push((until - now) / SECOND / 60);
            now = until;
            known = Some(entry);
        }
        let expected = [
            15, 30, 60, 120, 240, 480, 960, 1920, 3840, 7680, 10_080, 10_080,
        ];
        assert_eq!(minutes, expected);

        let last = known.expect("twelve");
        for (days, level) in [(0, 13), (1, 12), (5, 8), (11, 2), (12, 1), (400, 1)] {
            let day = 86_400 * SECOND;
            assert_eq!(
                auto.entry(prefix, Some(&last), now + days * day).level,
                level
            );
            assert_eq!(last.forgotten_micros, now + 12 * day);
        }
    }
}
