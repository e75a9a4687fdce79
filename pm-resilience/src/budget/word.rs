use super::BudgetSettings;
use crate::sync::{AtomicU64, Ordering};

/// A retry, in the unit that is counted: a hundredth, so that a percentage is a whole number.
const RETRY: u64 = 100;

/// By so many milliseconds one thread may be behind another, between its clock and its step.
const AHEAD: u32 = 60_000;

/// What is there to be withdrawn: hundredths of retries in the upper half, and in the lower half the
/// millisecond up to which the floor has been withdrawn. Milliseconds wrap around after 49 days; a
/// budget that is left alone for that long gets less than a second's worth of floor for once.
#[derive(Debug)]
pub(super) struct Word(AtomicU64);

/// What of the settings a step needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Hundredths that one call deposits.
    share: u64,
    /// Hundredths that may be saved up.
    reserve: u64,
    /// Retries per second on top.
    floor: u64,
}

impl From<&BudgetSettings> for Terms {
    fn from(settings: &BudgetSettings) -> Self {
        Self {
            share: u64::from(settings.percent),
            reserve: u64::from(settings.reserve) * RETRY,
            floor: u64::from(settings.floor_per_second),
        }
    }
}

impl Word {
    /// Empty, with the floor of one second.
    pub(super) fn new(now_millis: u64) -> Self {
        Self(AtomicU64::new(pack(0, now_millis.wrapping_sub(1_000))))
    }

    pub(super) fn deposit(&self, terms: Terms) {
        // A full reserve is not written: with nothing to retry, the line stays shared and clean.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
                let balance = balance(word);
                let saved = (balance + terms.share).min(terms.reserve);
                (saved > balance).then(|| pack(saved, word))
            });
    }

    /// Whether there was a retry left; it is taken then.
    pub(super) fn try_withdraw(&self, terms: Terms, now_millis: u64) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
                let saved = balance(word);
                if saved >= RETRY {
                    return Some(pack(saved - RETRY, word));
                }
                if terms.floor == 0 {
                    return None;
                }
                // What is missing comes from the floor, which is owed for at most one second.
                let since = owed(word, now_millis);
                let missing = RETRY - saved;
                let millis = (missing * 1_000).div_ceil(terms.floor * RETRY);
                (millis <= since).then(|| pack(0, now_millis.wrapping_sub(since - millis)))
            })
            .is_ok()
    }

    /// Takes away what is more than may be saved up.
    pub(super) fn truncate(&self, terms: Terms) {
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
                (balance(word) > terms.reserve).then(|| pack(terms.reserve, word))
            });
    }

    /// Whole retries that have been saved up.
    pub(super) fn saved(&self) -> u32 {
        let retries = balance(self.0.load(Ordering::Relaxed)) / RETRY;
        u32::try_from(retries).expect("half of a word, divided")
    }
}

const fn balance(word: u64) -> u64 {
    word >> 32
}

/// For how many milliseconds the floor has not been withdrawn, one second at most. Another thread may
/// have read its clock later and withdrawn up to then: nothing is owed to who comes behind it.
fn owed(word: u64, now_millis: u64) -> u64 {
    let passed = (now_millis as u32).wrapping_sub(word as u32);
    if passed.wrapping_neg() <= AHEAD {
        return 0;
    }
    u64::from(passed.min(1_000))
}

const fn pack(balance: u64, millis: u64) -> u64 {
    balance << 32 | millis & 0xffff_ffff
}

#[cfg(all(test, not(pm_loom)))]
mod tests {
    use super::*;

    fn terms(percent: u32, floor_per_second: u32) -> Terms {
        Terms::from(&BudgetSettings {
            percent,
            floor_per_second,
            reserve: 100,
        })
    }

    fn drain(word: &Word, terms: Terms, now: u64) -> usize {
        (0..10_000)
            .take_while(|_| word.try_withdraw(terms, now))
            .count()
    }

    #[test]
    fn the_floor_is_owed_for_one_second_at_most() {
        let terms = terms(0, 10);
        let word = Word::new(0);
        assert_eq!(drain(&word, terms, 0), 10);
        assert_eq!(drain(&word, terms, 99), 0);
        assert_eq!(drain(&word, terms, 100), 1);
        assert_eq!(drain(&word, terms, 450), 3);
        assert_eq!(drain(&word, terms, 500), 1, "the 50 ms left over count");
        assert_eq!(drain(&word, terms, 60_000), 10);
    }

    #[test]
    fn a_floor_that_divides_no_second_never_gives_more_than_its_rate() {
        let terms = terms(0, 7);
        let word = Word::new(0);
        let first = drain(&word, terms, 0);
        assert!(first <= 7, "{first}");
        let made: usize = (1..=100_000).map(|now| drain(&word, terms, now)).sum();
        assert!((690..=700).contains(&made), "{made}");
    }

    #[test]
    fn the_floor_survives_the_wrap_of_its_milliseconds() {
        let terms = terms(0, 10);
        let before = (1 << 32) - 500;
        let word = Word::new(before);
        assert_eq!(drain(&word, terms, before), 10);
        assert_eq!(drain(&word, terms, before + 1_000), 10);
    }

    #[test]
    fn who_read_the_clock_earlier_sets_nothing_back() {
        let terms = terms(0, 10);
        for begin in [0, 1 << 32] {
            let word = Word::new(begin);
            assert_eq!(drain(&word, terms, begin + 500), 10);
            assert_eq!(drain(&word, terms, begin + 499), 0);
            assert_eq!(drain(&word, terms, begin), 0);
            assert_eq!(drain(&word, terms, begin + 500), 0);
            assert_eq!(drain(&word, terms, begin + 600), 1);
        }
    }

    #[test]
    fn what_is_saved_up_is_bounded_and_survives_the_floor() {
        let full = terms(150, 0);
        let word = Word::new(0);
        for _ in 0..1_000 {
            word.deposit(full);
        }
        assert_eq!(word.saved(), 100);
        assert_eq!(drain(&word, full, 0), 100);
        assert_eq!(drain(&word, full, 5_000), 0);
    }

    #[test]
    fn a_part_of_a_retry_is_none_without_a_floor() {
        let most = terms(99, 0);
        let word = Word::new(0);
        word.deposit(most);
        assert!(!word.try_withdraw(most, 60_000));
        word.deposit(most);
        assert!(word.try_withdraw(most, 60_000));
    }
}
