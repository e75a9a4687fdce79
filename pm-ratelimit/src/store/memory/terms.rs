//! The quotas that the words of a table are in, numbered so that a place can say which its is.

use std::sync::PoisonError;
use std::sync::atomic::AtomicU32 as Ceiling;

use pm_core::Tick;

use crate::Charge;
use crate::algorithm::Gcra;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// Bits that the number of a quota has in the mark of a place.
pub(super) const BITS: u32 = 13;

/// Quotas that are kept exactly.
const EXACT: usize = if cfg!(pm_loom) { 4 } else { 4_096 };

/// How many of them may stand in the way of one.
const REACH: usize = 16;

/// Where the numbers of rounded intervals begin.
const ROUNDED: u16 = 4_096;

/// Binary digits of a rounded interval that count, the leading one aside: within 1.6 percent.
const DIGITS: u32 = 6;

/// Every quota that has come along, by what a change of it needs: interval and ceiling. None is
/// ever forgotten. When there are too many, the interval of those that come later is rounded up to
/// one of some thousands, which is stricter by at most 1.6 percent.
pub(super) struct Terms {
    slots: Box<[Slot]>,
    newcomers: Mutex<()>,
}

struct Slot {
    /// 0 if the slot is free. Written last.
    interval: AtomicU64,
    ceiling: Ceiling,
}

/// The quota of one charge.
#[derive(Clone, Copy)]
pub(super) struct Term {
    pub(super) gcra: Gcra,
    pub(super) number: u16,
    ceiling: u32,
}

impl Terms {
    pub(super) fn new() -> Self {
        Self {
            slots: (0..EXACT).map(|_| Slot::free()).collect(),
            newcomers: Mutex::new(()),
        }
    }

    #[inline]
    pub(super) fn of(&self, charge: &Charge) -> Term {
        let (interval, ceiling) = (charge.quota().interval_nanos(), charge.ceiling());
        let found = self
            .find(interval, ceiling)
            .or_else(|| self.bring_in(interval, ceiling));
        match found {
            Some(number) => Term {
                gcra: Gcra::new(charge.quota()),
                number,
                ceiling,
            },
            None => {
                let (number, interval) = rounded(interval);
                Term {
                    gcra: Gcra::with_interval(interval, charge.quota().capacity()),
                    number,
                    ceiling: u32::MAX,
                }
            }
        }
    }

    /// The word of a bucket under `term`, which was written under the one with this number.
    pub(super) fn convert(&self, term: &Term, word: u64, now: Tick, number: u16) -> u64 {
        let (interval, ceiling) = self.numbered(number);
        // Only a lower ceiling forgives. Otherwise what looks like more than the ceiling is another
        // thread's later reading of the clock.
        let ceiling = (term.ceiling < ceiling).then_some(term.ceiling);
        term.gcra.convert(word, now, interval, ceiling)
    }

    fn numbered(&self, number: u16) -> (u64, u32) {
        match number.checked_sub(ROUNDED) {
            Some(rounded) => (unrounded(rounded), u32::MAX),
            None => {
                let slot = &self.slots[usize::from(number)];
                let interval = slot.interval.load(Ordering::Acquire);
                (interval, slot.ceiling.load(Ordering::Relaxed))
            }
        }
    }

    #[inline]
    fn find(&self, interval: u64, ceiling: u32) -> Option<u16> {
        for number in self.reach(interval, ceiling) {
            let slot = &self.slots[number];
            match slot.interval.load(Ordering::Acquire) {
                0 => return None,
                known if known == interval && slot.ceiling.load(Ordering::Relaxed) == ceiling => {
                    return Some(number as u16);
                }
                _ => {}
            }
        }
        None
    }

    #[cold]
    fn bring_in(&self, interval: u64, ceiling: u32) -> Option<u16> {
        let _guard = self
            .newcomers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for number in self.reach(interval, ceiling) {
            let slot = &self.slots[number];
            match slot.interval.load(Ordering::Acquire) {
                0 => {
                    slot.ceiling.store(ceiling, Ordering::Relaxed);
                    slot.interval.store(interval, Ordering::Release);
                    return Some(number as u16);
                }
                known if known == interval && slot.ceiling.load(Ordering::Relaxed) == ceiling => {
                    return Some(number as u16);
                }
                _ => {}
            }
        }
        None
    }

    #[inline]
    fn reach(&self, interval: u64, ceiling: u32) -> impl Iterator<Item = usize> + use<> {
        let home = if cfg!(pm_loom) {
            0
        } else {
            let spread = (interval ^ u64::from(ceiling) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (spread >> 52) as usize
        };
        (home..home + REACH.min(EXACT)).map(|slot| slot % EXACT)
    }
}

impl Slot {
    fn free() -> Self {
        Self {
            interval: AtomicU64::new(0),
            ceiling: Ceiling::new(0),
        }
    }
}

/// The number of the next longer interval that has one without asking, and that interval.
fn rounded(interval: u64) -> (u16, u64) {
    // No interval is as short as the digits that count.
    let shift = interval.ilog2().saturating_sub(DIGITS);
    let leading = interval.div_ceil(1 << shift);
    let number = (shift << DIGITS) as u16 + (leading - (1 << DIGITS)) as u16;
    (ROUNDED + number, leading << shift)
}

fn unrounded(number: u16) -> u64 {
    let leading = u64::from(number & ((1 << DIGITS) - 1)) + (1 << DIGITS);
    leading << (number >> DIGITS)
}

#[cfg(all(test, not(pm_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{BucketId, Quota};

    fn charge(quota: Quota) -> Charge {
        Charge::new(BucketId::from_u128(1), quota, 1)
    }

    #[test]
    fn a_quota_keeps_its_number() {
        let terms = Terms::new();
        let quota = Quota::per_minute(300).burst(50);
        let number = terms.of(&charge(quota)).number;
        assert_eq!(terms.of(&charge(quota)).number, number);
        assert_eq!(terms.numbered(number), (200_000_000, 50));
        assert_ne!(terms.of(&charge(quota.burst(51))).number, number);
        assert_ne!(terms.of(&charge(quota).with_ceiling(51)).number, number);
        assert_eq!(
            terms.of(&charge(quota).with_ceiling(49)).number,
            number,
            "a ceiling below the capacity is the capacity"
        );
    }

    #[test]
    fn a_rounded_interval_is_at_most_a_64th_longer() {
        let mut interval: u64 = 1_000;
        while interval < 366 * 86_400 * 1_000_000_000 {
            for interval in [interval, interval + 1, interval.next_power_of_two() - 1] {
                let (number, longer) = rounded(interval);
                assert!(number < 1 << BITS);
                assert!(
                    longer >= interval && longer - interval <= interval / 64,
                    "{interval}"
                );
                assert_eq!(unrounded(number - ROUNDED), longer);
            }
            interval += interval / 7;
        }
    }

    #[test]
    fn too_many_quotas_are_rounded_and_no_number_is_used_twice() {
        let terms = Terms::new();
        let mut rounded = 0;
        for tokens in 1..10_000 {
            let quota = Quota::new(tokens, Duration::from_secs(3_600));
            let term = terms.of(&charge(quota));
            let (interval, ceiling) = terms.numbered(term.number);
            if term.number < ROUNDED {
                assert_eq!((interval, ceiling), (quota.interval_nanos(), tokens));
            } else {
                rounded += 1;
                assert!(interval >= quota.interval_nanos());
                assert_eq!(ceiling, u32::MAX);
            }
        }
        assert!(rounded >= 9_999 - EXACT, "they cannot all have been exact");
        assert!(rounded < 8_000, "only {} were exact", 10_000 - rounded);
    }
}
