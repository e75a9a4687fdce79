use std::time::Duration;

use pm_core::Tick;

use super::{Entry, Sum};
use crate::sync::{AtomicU64, Ordering};

/// The calls of the last while, in slices that are reused in turn.
///
/// A success adds one to the slice of now. Only who wants the sum looks at all of them.
///
/// Each slice has a number that only grows: its time, and so much more for each generation that
/// what an older generation has left is outside the window. Nothing has to be swept.
pub(in super::super) struct Slices {
    length: u64,
    slices: Box<[Slice]>,
}

struct Slice {
    calls: Count,
    failed: Count,
    slow: Count,
}

/// The number of a slice (its lower 32 bits) and a count. A count of another slice is none.
struct Count(AtomicU64);

impl Slices {
    pub(super) fn new(length: Duration, slices: u8) -> Self {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        Self {
            length: (nanos / u64::from(slices)).max(1),
            slices: (0..slices).map(|_| Slice::new()).collect(),
        }
    }

    pub(super) fn record(&self, generation: u64, now: Tick, entry: Entry) {
        let number = self.number(generation, now);
        let slice = self.slice(number);
        slice.calls.increment(number);
        if entry.failed {
            slice.failed.increment(number);
        }
        if entry.slow {
            slice.slow.increment(number);
        }
    }

    pub(super) fn sum(&self, generation: u64, now: Tick) -> Sum {
        let last = self.number(generation, now);
        let first = (last + 1).saturating_sub(self.slices.len() as u64);
        let mut sum = Sum::default();
        for number in first..=last {
            let slice = self.slice(number);
            let (failed, slow) = (slice.failed.get(number), slice.slow.get(number));
            sum.failed = sum.failed.saturating_add(failed);
            sum.slow = sum.slow.saturating_add(slow);
            sum.calls = sum.calls.saturating_add(slice.calls.get(number));
        }
        sum
    }

    fn number(&self, generation: u64, now: Tick) -> u64 {
        let apart = self.slices.len() as u64 + 1;
        (now.as_nanos() / self.length).wrapping_add(generation.wrapping_mul(apart))
    }

    fn slice(&self, number: u64) -> &Slice {
        &self.slices[(number % self.slices.len() as u64) as usize]
    }
}

impl Slice {
    fn new() -> Self {
        let none = || Count(AtomicU64::new(0));
        Self {
            calls: none(),
            failed: none(),
            slow: none(),
        }
    }
}

const NUMBER: u32 = 32;

impl Count {
    fn get(&self, number: u64) -> u32 {
        let count = self.0.load(Ordering::Acquire);
        if (count >> NUMBER) as u32 == number as u32 {
            count as u32
        } else {
            0
        }
    }

    fn increment(&self, number: u64) {
        let mut current = self.0.load(Ordering::Relaxed);
        loop {
            let (of, count) = ((current >> NUMBER) as u32, current as u32);
            let new = if of == number as u32 {
                count.saturating_add(1)
            } else if count > 0 && is_later(of, number as u32) {
                // This thread was stopped until its slice had left the window.
                return;
            } else {
                1
            };
            let new = number << NUMBER | u64::from(new);
            match self
                .0
                .compare_exchange_weak(current, new, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(found) => current = found,
            }
        }
    }
}

/// Within what a thread may have been stopped for, and no further: after a long time without calls
/// the numbers, cut to 32 bits, may have gone round.
const fn is_later(of: u32, number: u32) -> bool {
    let ahead = of.wrapping_sub(number);
    ahead > 0 && ahead <= 1 << 16
}

#[cfg(all(test, not(pm_loom)))]
mod tests {
    use super::*;

    const GOOD: Entry = Entry {
        failed: false,
        slow: false,
    };
    const BAD: Entry = Entry {
        failed: true,
        slow: true,
    };

    fn at(millis: u64) -> Tick {
        Tick::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let slices = Slices::new(Duration::from_secs(1), 10);
        for millis in 0..3_000 {
            slices.record(0, at(millis), if millis % 4 == 0 { BAD } else { GOOD });
        }
        assert_eq!(
            slices.sum(0, at(2_999)),
            Sum {
                calls: 1_000,
                failed: 250,
                slow: 250
            }
        );
        assert_eq!(
            slices.sum(0, at(3_000)),
            Sum {
                calls: 900,
                failed: 225,
                slow: 225
            }
        );
        assert_eq!(
            slices.sum(0, at(3_899)),
            Sum {
                calls: 100,
                failed: 25,
                slow: 25
            }
        );
        assert_eq!(slices.sum(0, at(3_900)), Sum::default());
    }

    #[test]
    fn another_generation_begins_empty_in_the_same_slice() {
        let slices = Slices::new(Duration::from_secs(1), 10);
        slices.record(0, at(5), BAD);
        assert_eq!(slices.sum(1, at(5)), Sum::default());
        slices.record(1, at(5), GOOD);
        slices.record(0, at(5), BAD);
        assert_eq!(
            slices.sum(1, at(5)),
            Sum {
                calls: 1,
                failed: 0,
                slow: 0
            }
        );
    }

    #[test]
    fn who_comes_too_late_for_its_slice_takes_nothing_from_a_later_one() {
        let slices = Slices::new(Duration::from_secs(1), 10);
        slices.record(0, at(5_000), GOOD);
        slices.record(0, at(4_000), BAD);
        assert_eq!(
            slices.sum(0, at(5_000)),
            Sum {
                calls: 1,
                failed: 0,
                slow: 0
            }
        );
    }

    #[test]
    fn a_window_that_slept_until_its_numbers_went_round_still_counts() {
        let slices = Slices::new(Duration::from_millis(10), 10);
        slices.record(0, at((1 << 31) + 10), BAD);
        slices.record(0, at(1 << 32), BAD);
        assert_eq!(
            slices.sum(0, at(1 << 32)),
            Sum {
                calls: 1,
                failed: 1,
                slow: 1
            }
        );
    }
}
