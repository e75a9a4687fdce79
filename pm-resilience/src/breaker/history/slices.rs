use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use pm_core::Tick;

use super::{Entry, Sum};
use crate::sync::{AtomicU64, Ordering};

/// The calls of the last while, in slices that are reused in turn.
///
/// A success adds one to the slice of now, in a row that few other threads write to. Only who wants
/// the sum looks at all of them.
///
/// Each slice has a number that only grows: its time, and so much more for each generation that
/// what an older generation has left is outside the window. Nothing has to be swept.
pub(in super::super) struct Slices {
    length: u64,
    /// One row after the other.
    calls: Box<[Line]>,
    bad: Box<[Bad]>,
}

/// What does not change with most calls.
struct Bad {
    failed: Count,
    slow: Count,
}

/// So many counts as have nothing to do with others in the eyes of a processor, which may fetch two
/// lines of 64 bytes at once.
#[repr(align(128))]
struct Line([Count; Line::COUNTS]);

/// The number of a slice (its lower 32 bits) and a count. A count of another slice is none.
struct Count(AtomicU64);

impl Slices {
    pub(super) fn new(length: Duration, slices: u8) -> Self {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let lines = Row::COUNT * usize::from(slices).div_ceil(Line::COUNTS);
        Self {
            length: (nanos / u64::from(slices)).max(1),
            calls: (0..lines).map(|_| Line::new()).collect(),
            bad: (0..slices).map(|_| Bad::new()).collect(),
        }
    }

    pub(super) fn record(&self, generation: u64, now: Tick, entry: Entry) {
        let number = self.number(generation, now);
        self.calls(Row::of_this_thread(), number).increment(number);
        let bad = self.bad(number);
        if entry.failed {
            bad.failed.increment(number);
        }
        if entry.slow {
            bad.slow.increment(number);
        }
    }

    pub(super) fn sum(&self, generation: u64, now: Tick) -> Sum {
        let last = self.number(generation, now);
        let first = (last + 1).saturating_sub(self.bad.len() as u64);
        let mut sum = Sum::default();
        for number in first..=last {
            let bad = self.bad(number);
            let (failed, slow) = (bad.failed.get(number), bad.slow.get(number));
            sum.failed = sum.failed.saturating_add(failed);
            sum.slow = sum.slow.saturating_add(slow);
            for row in Row::all() {
                let calls = self.calls(row, number).get(number);
                sum.calls = sum.calls.saturating_add(calls);
            }
        }
        sum
    }

    fn number(&self, generation: u64, now: Tick) -> u64 {
        let apart = self.bad.len() as u64 + 1;
        (now.as_nanos() / self.length).wrapping_add(generation.wrapping_mul(apart))
    }

    fn bad(&self, number: u64) -> &Bad {
        &self.bad[self.place(number)]
    }

    fn calls(&self, row: Row, number: u64) -> &Count {
        let place = self.place(number);
        let line = row.0 * (self.calls.len() / Row::COUNT) + place / Line::COUNTS;
        &self.calls[line].0[place % Line::COUNTS]
    }

    fn place(&self, number: u64) -> usize {
        (number % self.bad.len() as u64) as usize
    }
}

/// Which counts of calls a thread writes to.
#[derive(Clone, Copy)]
struct Row(usize);

impl Row {
    const COUNT: usize = 4;

    fn of_this_thread() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % Row::COUNT;
        }
        // A thread that is being torn down may write to any.
        Self(MINE.try_with(|mine| *mine).unwrap_or_default())
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

impl Line {
    const COUNTS: usize = 16;

    fn new() -> Self {
        Self(std::array::from_fn(|_| Count::new()))
    }
}

impl Bad {
    fn new() -> Self {
        Self {
            failed: Count::new(),
            slow: Count::new(),
        }
    }
}

const NUMBER: u32 = 32;

impl Count {
    fn new() -> Self {
        Self(AtomicU64::new(0))
    }

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

    #[test]
    fn what_all_threads_say_is_what_is_summed_up() {
        let slices = Slices::new(Duration::from_secs(1), 60);
        std::thread::scope(|scope| {
            for _ in 0..2 * Row::COUNT {
                scope.spawn(|| {
                    for millis in 0..1_000 {
                        slices.record(0, at(millis), if millis % 4 == 0 { BAD } else { GOOD });
                    }
                });
            }
        });
        let threads = 2 * Row::COUNT as u32;
        assert_eq!(
            slices.sum(0, at(999)),
            Sum {
                calls: 1_000 * threads,
                failed: 250 * threads,
                slow: 250 * threads
            }
        );
    }
}
