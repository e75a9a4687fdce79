use super::{Entry, Sum};
use crate::sync::{AtomicU64, Ordering};

/// The last calls, exactly: two bits for each.
///
/// An entry claims its place, changes its two bits, and moves the sum by the difference to what
/// stood there. So the sum is always that of the bits, whoever overtakes whom, and a success where a
/// success stood is one write. All three bear the generation; a thread that was stopped in between
/// and comes back in a later one finds that, and stops.
pub(in super::super) struct Ring {
    size: u32,
    /// Generation (32 bits), calls: counted to twice the size, then from the size again.
    cursor: AtomicU64,
    /// Generation (32 bits), failed, slow (16 bits each, signed: a bit may be taken back before it
    /// was counted).
    sum: AtomicU64,
    /// Generation (16 bits), pairs of failed and slow.
    words: Box<[AtomicU64]>,
}

const PAIRS: usize = 24;
const WORD_TAG: u32 = 48;
const TAG: u32 = 32;

impl Ring {
    pub(super) fn new(size: u32, generation: u64) -> Self {
        let words = (size as usize).div_ceil(PAIRS);
        let ring = Self {
            size,
            cursor: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
        };
        ring.restart(generation);
        ring
    }

    pub(super) fn restart(&self, generation: u64) {
        for word in &self.words {
            word.store(generation << WORD_TAG, Ordering::Relaxed);
        }
        self.sum.store(generation << TAG, Ordering::Relaxed);
        self.cursor.store(generation << TAG, Ordering::Release);
    }

    pub(super) fn record(&self, generation: u64, entry: Entry) {
        let Some(place) = self.claim(generation) else {
            return;
        };
        let Some(before) = self.replace(generation, place as usize, entry) else {
            return;
        };
        if before != entry {
            self.add(generation, before, entry);
        }
    }

    pub(super) fn sum(&self, generation: u64) -> Sum {
        let sum = self.sum.load(Ordering::Acquire);
        let cursor = self.cursor.load(Ordering::Acquire);
        if sum >> TAG != tag(generation) || cursor >> TAG != tag(generation) {
            return Sum::default();
        }
        let (failed, slow) = unpack(sum);
        let calls = (cursor as u32).min(self.size);
        let counted = |count: i16| u32::from(count.max(0).cast_unsigned()).min(calls);
        Sum {
            calls,
            failed: counted(failed),
            slow: counted(slow),
        }
    }

    fn claim(&self, generation: u64) -> Option<u32> {
        let mut current = self.cursor.load(Ordering::Relaxed);
        loop {
            if current >> TAG != tag(generation) {
                return None;
            }
            let calls = current as u32;
            let next = if calls + 1 == 2 * self.size {
                self.size
            } else {
                calls + 1
            };
            let new = (current >> TAG) << TAG | u64::from(next);
            match exchange(&self.cursor, current, new) {
                Ok(()) => {
                    return Some(if calls < self.size {
                        calls
                    } else {
                        calls - self.size
                    });
                }
                Err(found) => current = found,
            }
        }
    }

    fn replace(&self, generation: u64, place: usize, entry: Entry) -> Option<Entry> {
        let word = &self.words[place / PAIRS];
        let shift = 2 * (place % PAIRS);
        let pair = u64::from(entry.failed) | u64::from(entry.slow) << 1;
        let mut current = word.load(Ordering::Relaxed);
        loop {
            if current >> WORD_TAG != generation & 0xffff {
                return None;
            }
            let new = current & !(0b11 << shift) | pair << shift;
            let written = if new == current {
                Ok(())
            } else {
                exchange(word, current, new)
            };
            match written {
                Ok(()) => {
                    return Some(Entry {
                        failed: current >> shift & 1 != 0,
                        slow: current >> shift & 2 != 0,
                    });
                }
                Err(found) => current = found,
            }
        }
    }

    fn add(&self, generation: u64, before: Entry, entry: Entry) {
        let (more_failed, more_slow) = (
            i16::from(entry.failed) - i16::from(before.failed),
            i16::from(entry.slow) - i16::from(before.slow),
        );
        let mut current = self.sum.load(Ordering::Relaxed);
        while current >> TAG == tag(generation) {
            let (failed, slow) = unpack(current);
            let failed = u64::from((failed + more_failed).cast_unsigned());
            let slow = u64::from((slow + more_slow).cast_unsigned());
            let new = (current >> TAG) << TAG | failed << 16 | slow;
            match exchange(&self.sum, current, new) {
                Ok(()) => return,
                Err(found) => current = found,
            }
        }
    }
}

const fn tag(generation: u64) -> u64 {
    generation & 0xffff_ffff
}

const fn unpack(sum: u64) -> (i16, i16) {
    ((sum >> 16) as i16, sum as i16)
}

fn exchange(word: &AtomicU64, current: u64, new: u64) -> Result<(), u64> {
    word.compare_exchange_weak(current, new, Ordering::AcqRel, Ordering::Relaxed)
        .map(drop)
}

#[cfg(all(test, not(pm_loom)))]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_the_last_calls(size in 1u32..80, calls in proptest::collection::vec(any::<(bool, bool)>(), 0..400)) {
            let ring = Ring::new(size, 7);
            let mut model = VecDeque::new();
            for (failed, slow) in calls {
                ring.record(7, Entry { failed, slow });
                model.push_back((failed, slow));
                if model.len() > size as usize {
                    model.pop_front();
                }
                let count = |of: fn(&(bool, bool)) -> bool| model.iter().filter(|call| of(call)).count() as u32;
                let expected = Sum { calls: model.len() as u32, failed: count(|call| call.0), slow: count(|call| call.1) };
                prop_assert_eq!(ring.sum(7), expected);
            }
        }
    }

    #[test]
    fn what_all_threads_say_is_what_the_bits_say() {
        let ring = Ring::new(1_000, 0);
        std::thread::scope(|scope| {
            for thread in 0..4u32 {
                let ring = &ring;
                scope.spawn(move || {
                    for round in 0..50_000u32 {
                        let mixed = (round ^ thread).wrapping_mul(0x9e37_79b9) >> 16;
                        ring.record(
                            0,
                            Entry {
                                failed: mixed & 1 == 0,
                                slow: mixed & 6 == 0,
                            },
                        );
                    }
                });
            }
        });
        let bits = |bit: u64| {
            let ones =
                |word: &AtomicU64| (word.load(Ordering::Relaxed) << 16 >> 16 & bit).count_ones();
            ring.words.iter().map(ones).sum::<u32>()
        };
        let sum = ring.sum(0);
        assert_eq!(sum.calls, 1_000);
        assert_eq!(
            (sum.failed, sum.slow),
            (bits(0x5555_5555_5555), bits(0xaaaa_aaaa_aaaa))
        );
    }

    #[test]
    fn an_entry_of_an_older_generation_finds_no_place() {
        let ring = Ring::new(10, 1);
        ring.record(
            1,
            Entry {
                failed: true,
                slow: true,
            },
        );
        ring.restart(3);
        ring.record(
            1,
            Entry {
                failed: true,
                slow: true,
            },
        );
        assert_eq!(ring.sum(3), Sum::default());
        ring.record(
            3,
            Entry {
                failed: false,
                slow: true,
            },
        );
        assert_eq!(
            ring.sum(3),
            Sum {
                calls: 1,
                failed: 0,
                slow: 1
            }
        );
    }
}
