use pm_core::Tick;

use crate::{Outcome, Quota};

/// The generic cell rate algorithm: a token bucket whose whole state is one 64-bit word.
///
/// The word is the moment at which the bucket is full again, in nanoseconds on a clock that only
/// moves forward; 0 is a bucket that was never used. What is missing in the bucket at a moment is
/// the time from then until the word, and a cost of *c* tokens moves the word by *c* intervals.
/// So the passing of time needs no writing, nothing is ever rounded away, and a bucket that is
/// full again is indistinguishable from one that never was.
///
/// A word is never `u64::MAX`, which a store may use as a mark.
///
/// A word may come from a clock reading later than the one at hand (another thread read the clock
/// later and was faster): that only shows a larger debt.
#[derive(Clone, Copy, Debug)]
pub struct Gcra {
    /// Nanoseconds per token.
    interval: u64,
    /// Nanoseconds until an empty bucket is full.
    capacity: u64,
    burst: u32,
}

/// A cost that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The state of the bucket afterwards, to be stored in place of the one that was read.
    pub word: u64,
    /// What is left.
    pub outcome: Outcome,
}

impl Gcra {
    /// The arithmetic for `quota`.
    #[inline]
    #[must_use]
    pub const fn new(quota: &Quota) -> Self {
        let interval = quota.interval_nanos();
        // A quota does not exist unless this product is within 64 bits.
        Self {
            interval,
            capacity: interval * quota.capacity() as u64,
            burst: quota.capacity(),
        }
    }

    /// Arithmetic with an interval of one's own, in nanoseconds, which together with the burst is
    /// within what a quota may have.
    pub(crate) const fn with_interval(interval: u64, burst: u32) -> Self {
        Self {
            interval,
            capacity: interval * burst as u64,
            burst,
        }
    }

    /// The word of a bucket that goes over to this quota from one whose tokens come back every
    /// `interval` nanoseconds: what it owes in tokens stays, up to `ceiling` tokens if there is one,
    /// rounded up to a nanosecond.
    ///
    /// The moment counts as the one from which the new quota is in force. If it is an old reading of
    /// the clock, the new rate counts from then on.
    #[must_use]
    pub(crate) fn convert(&self, word: u64, now: Tick, interval: u64, ceiling: Option<u32>) -> u64 {
        let now = now.as_nanos();
        let debt = word.saturating_sub(now);
        if debt == 0 {
            return word;
        }
        let debt = (u128::from(debt) * u128::from(self.interval)).div_ceil(interval.into());
        let most = ceiling.map_or(u128::MAX, |tokens| {
            u128::from(tokens) * u128::from(self.interval)
        });
        let debt = u64::try_from(debt.min(most)).unwrap_or(u64::MAX);
        now.saturating_add(debt).min(u64::MAX - 1)
    }

    /// Takes `cost` tokens from the bucket that is in state `word` at `now`.
    ///
    /// A cost of 0 is always taken and leaves the word as it is.
    ///
    /// # Errors
    ///
    /// If that many tokens are not there; then the word stays as it is, and the outcome says how
    /// long to wait.
    #[inline]
    pub fn take(&self, word: u64, now: Tick, cost: u32) -> Result<Taken, Outcome> {
        let now = now.as_nanos();
        let debt = word.saturating_sub(now);
        if cost == 0 {
            return Ok(Taken {
                word,
                outcome: self.fits(debt),
            });
        }
        let price = self.price(cost);
        if debt.saturating_add(price) > self.capacity {
            return Err(self.refusal(debt, price));
        }
        let debt = debt + price;
        Ok(Taken {
            word: now.saturating_add(debt).min(u64::MAX - 1),
            outcome: self.fits(debt),
        })
    }

    /// Whether [`take`](Self::take) would take it.
    #[inline]
    pub(crate) fn has_room(&self, word: u64, now: Tick, cost: u32) -> bool {
        let debt = word.saturating_sub(now.as_nanos());
        cost == 0 || debt.saturating_add(self.price(cost)) <= self.capacity
    }

    /// What [`take`](Self::take) would answer, with what is left *without* taking.
    #[inline]
    #[must_use]
    pub fn look(&self, word: u64, now: Tick, cost: u32) -> Outcome {
        let debt = word.saturating_sub(now.as_nanos());
        if self.has_room(word, now, cost) {
            self.fits(debt)
        } else {
            self.refusal(debt, self.price(cost))
        }
    }

    /// What to answer where a store has decided: the charge fits or not, and the bucket owes `debt`
    /// nanoseconds, which it begins to pay back in `late` nanoseconds. The store's clock ticks in
    /// microseconds: a wait that ends between two ticks ends with the next one.
    #[cfg(feature = "redis")]
    pub(crate) fn answer(&self, fits: bool, debt: u64, late: u64, cost: u32) -> Outcome {
        let (remaining, reset) = (self.remaining(debt), debt.saturating_add(late));
        let price = self.price(cost);
        if fits {
            Outcome::fits(remaining, reset)
        } else if price > self.capacity {
            Outcome::never(remaining, reset)
        } else {
            let wait = reset.saturating_sub(self.capacity - price).div_ceil(1_000);
            Outcome::waits(remaining, reset, wait.saturating_mul(1_000))
        }
    }

    #[inline]
    fn price(&self, cost: u32) -> u64 {
        let price = u128::from(self.interval) * u128::from(cost);
        u64::try_from(price).unwrap_or(u64::MAX)
    }

    #[inline]
    fn fits(&self, debt: u64) -> Outcome {
        Outcome::fits(self.remaining(debt), debt)
    }

    #[cold]
    fn refusal(&self, debt: u64, price: u64) -> Outcome {
        if price > self.capacity {
            return Outcome::never(self.remaining(debt), debt);
        }
        let wait = debt - (self.capacity - price);
        Outcome::waits(self.remaining(debt), debt, wait)
    }

    /// Whole tokens, rounded down.
    #[inline]
    fn remaining(&self, debt: u64) -> u32 {
        let whole = self.capacity.saturating_sub(debt) / self.interval;
        u32::try_from(whole).unwrap_or(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const START: Tick = Tick::from_nanos(1_000_000_000);

    fn after(nanos: u64) -> Tick {
        START + Duration::from_nanos(nanos)
    }

    /// Takes one token as often as it can be taken at `now`.
    fn drain(gcra: &Gcra, word: &mut u64, now: Tick) -> u32 {
        let mut taken = 0;
        while let Ok(next) = gcra.take(*word, now, 1) {
            *word = next.word;
            taken += 1;
        }
        taken
    }

    #[test]
    fn the_burst_is_exactly_the_burst() {
        // Tolerance and burst off by one: governor before 0.8.
        for burst in [1, 2, 50, 1000] {
            let gcra = Gcra::new(&Quota::per_minute(60).burst(burst));
            assert_eq!(drain(&gcra, &mut 0, START), burst);
            assert_eq!(
                drain(&gcra, &mut 0, Tick::ZERO),
                burst,
                "at the origin of time too"
            );
        }
    }

    #[test]
    fn remaining_counts_down() {
        // throttle-kit 1.1.2 counted 1, 2, 3 … up to the quota, and then said 0.
        let gcra = Gcra::new(&Quota::per_minute(10));
        let mut word = 0;
        for left in (0..10).rev() {
            let taken = gcra.take(word, START, 1).expect("there is one");
            assert_eq!(taken.outcome.remaining(), left);
            word = taken.word;
        }
        let refused = gcra.take(word, START, 1).expect_err("there is none");
        assert_eq!(refused.remaining(), 0);
    }

    #[test]
    fn rates_above_a_thousand_per_second_are_not_rounded_to_milliseconds() {
        // throttle-kit 1.1.2 admitted 1,001 a second for 1,500; skp-ratelimit admitted everything.
        for per_second in [300u32, 700, 1_500, 5_000, 1_000_000] {
            let gcra = Gcra::new(&Quota::per_second(per_second).burst(1));
            let mut word = 0;
            let mut admitted = 0u64;
            for microsecond in 0..1_000_000u64 {
                if let Ok(taken) = gcra.take(word, after(microsecond * 1_000), 1) {
                    word = taken.word;
                    admitted += 1;
                }
            }
            let asked = u64::from(per_second);
            assert!(admitted <= asked + 1, "{admitted} for {asked}");
            // A poll every microsecond is late for each token by up to one.
            assert!(
                admitted * 1_010 >= asked * 1_000 || per_second == 1_000_000,
                "{admitted} for {asked}"
            );
        }
    }

    #[test]
    fn a_slow_bucket_refills_however_often_it_is_asked() {
        // better-bucket 1.0 dropped the fraction at every question: 1/hour never came back.
        let gcra = Gcra::new(&Quota::per_hour(1));
        let mut word = gcra.take(0, START, 1).expect("full").word;
        for second in 1..3_600 {
            assert!(gcra.take(word, after(second * 1_000_000_000), 1).is_err());
        }
        word = gcra
            .take(word, after(3_600_000_000_000), 1)
            .expect("an hour has passed")
            .word;
        assert_eq!(word, START.as_nanos() + 7_200_000_000_000);
    }

    #[test]
    fn a_stale_clock_before_the_swap_only_tightens() {
        // better-bucket 1.0 subtracted with wrap-around and granted 36 to 527 times the quota.
        let gcra = Gcra::new(&Quota::per_second(10));
        let word = gcra.take(0, after(500_000_000), 10).expect("full").word;
        let outcome = gcra
            .take(word, START, 1)
            .expect_err("empty, and seen from the past");
        assert_eq!(outcome.retry_after(), Some(Duration::from_millis(600)));
        assert!(gcra.take(word, Tick::ZERO, 1).is_err());
        assert_eq!(gcra.look(word, Tick::ZERO, 0).remaining(), 0);
    }

    #[test]
    fn a_cost_above_the_burst_never_fits_and_has_no_wait() {
        let gcra = Gcra::new(&Quota::per_day(1).burst(5));
        for cost in [6, u32::MAX] {
            let outcome = gcra.take(0, START, cost).expect_err("more than it holds");
            assert!(outcome.is_never());
            assert_eq!(outcome.retry_after(), None);
        }
        assert!(gcra.take(0, START, 5).is_ok());
    }

    #[test]
    fn a_cost_of_nothing_is_free_and_changes_nothing() {
        let gcra = Gcra::new(&Quota::per_minute(2));
        let mut word = 0;
        drain(&gcra, &mut word, START);
        let taken = gcra.take(word, START, 0).expect("it costs nothing");
        assert_eq!((taken.word, taken.outcome.remaining()), (word, 0));
    }

    #[test]
    fn an_idle_bucket_does_not_save_up() {
        let gcra = Gcra::new(&Quota::per_second(5));
        let mut word = 0;
        drain(&gcra, &mut word, START);
        assert_eq!(
            drain(&gcra, &mut word, after(365 * 86_400 * 1_000_000_000)),
            5
        );
    }

    /// A token bucket as it is taught: `level` is counted in parts of a token, one part coming
    /// back each nanosecond, `interval` parts making a token. Exact, in unbounded enough integers.
    struct Bucket {
        interval: u128,
        capacity: u128,
        level: u128,
        at: u128,
    }

    impl Bucket {
        fn take(&mut self, now: u64, cost: u32) -> Result<(), Option<u128>> {
            let now = u128::from(now);
            self.level = (self.level + (now - self.at)).min(self.capacity);
            self.at = now;
            let price = u128::from(cost) * self.interval;
            if price > self.capacity {
                return Err(None);
            }
            if price > self.level {
                return Err(Some(price - self.level));
            }
            self.level -= price;
            Ok(())
        }
    }

    fn quotas() -> impl Strategy<Value = Quota> {
        (1u32..2_000_000, 1u64..400_000, 1u32..2_000).prop_filter_map(
            "within the limits of a quota",
            |(tokens, seconds, burst)| {
                Quota::try_new(tokens, Duration::from_secs(seconds), burst).ok()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn it_is_the_token_bucket_exactly(
            quota in quotas(),
            steps in proptest::collection::vec((0u64..3_000, 0u32..30), 1..100),
        ) {
            let gcra = Gcra::new(&quota);
            let interval = u128::from(quota.interval_nanos());
            let capacity = interval * u128::from(quota.capacity());
            let mut bucket = Bucket { interval, capacity, level: capacity, at: 0 };
            let (mut word, mut now) = (0, 0);
            for (wait, cost) in steps {
                // In thousandths of an interval, so that moments fall between tokens.
                now += wait * quota.interval_nanos() / 1_000;
                let answer = gcra.take(word, Tick::from_nanos(now), cost);
                let looked = gcra.look(word, Tick::from_nanos(now), cost);
                prop_assert_eq!(looked.is_allowed(), answer.is_ok());
                match (answer, bucket.take(now, cost)) {
                    (Ok(taken), Ok(())) => {
                        word = taken.word;
                        let outcome = taken.outcome;
                        prop_assert_eq!(u128::from(outcome.remaining()), bucket.level / interval);
                        prop_assert_eq!(outcome.reset_after().as_nanos(), capacity - bucket.level);
                    }
                    (Err(outcome), Err(wait)) => {
                        prop_assert_eq!(outcome, looked);
                        prop_assert_eq!(outcome.retry_after().map(|wait| wait.as_nanos()), wait);
                        prop_assert_eq!(u128::from(outcome.remaining()), bucket.level / interval);
                    }
                    (ours, theirs) => prop_assert!(false, "{ours:?} but {theirs:?}"),
                }
            }
        }

        #[test]
        fn whoever_waits_as_told_is_not_refused_again(
            quota in quotas(),
            costs in proptest::collection::vec(1u32..50, 1..40),
        ) {
            let gcra = Gcra::new(&quota);
            let (mut word, mut now) = (0, START);
            for cost in costs {
                if let Err(outcome) = gcra.take(word, now, cost) {
                    let Some(wait) = outcome.retry_after() else { continue };
                    prop_assert!(!wait.is_zero());
                    let early = now + (wait - Duration::from_nanos(1));
                    prop_assert!(gcra.take(word, early, cost).is_err(), "the wait was too long");
                    now += wait;
                }
                word = gcra.take(word, now, cost).expect("it waited as told").word;
            }
        }

        #[test]
        fn no_word_and_no_moment_make_it_panic(quota in quotas(), word: u64, now: u64, cost: u32) {
            let gcra = Gcra::new(&quota);
            for now in [now, u64::MAX] {
                let _ = gcra.look(word, Tick::from_nanos(now), cost);
                if let Ok(taken) = gcra.take(word, Tick::from_nanos(now), cost) {
                    prop_assert!(cost == 0 || taken.word < u64::MAX);
                }
            }
        }
    }
}
