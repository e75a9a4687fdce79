use std::time::Duration;

/// So many within so long are one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    more_than: u16,
    within: Duration,
}

impl Threshold {
    /// Passed by the violation that comes behind `more_than` others that are younger than `within`:
    /// by the 11th in five minutes, if it is 10. Each address that is watched takes 8 bytes for each
    /// of them.
    #[must_use]
    pub const fn more_than(more_than: u16, within: Duration) -> Self {
        Self { more_than, within }
    }

    /// How many it takes to pass it.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.more_than as u32 + 1
    }

    /// Within which time.
    #[must_use]
    pub const fn within(&self) -> Duration {
        self.within
    }

    pub(crate) fn micros(&self) -> i64 {
        i64::try_from(self.within.as_micros()).unwrap_or(i64::MAX)
    }
}

/// The latest moments of one address, as many as a threshold counts, and whether it is passed: exact,
/// in a bounded space. The one place that says when an alert is due; a backend only keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ring {
    /// In order, in microseconds of whatever clock.
    pub(crate) times: Vec<i64>,
    pub(crate) raised: bool,
}

impl Ring {
    /// Adds a moment, and says whether the threshold is passed with it: once, until there are so few
    /// again that it is not. Moments may come in any order.
    pub(crate) fn note(&mut self, at: i64, threshold: &Threshold) -> bool {
        let position = self.times.partition_point(|time| *time <= at);
        self.times.insert(position, at);
        let count = threshold.count() as usize;
        if self.times.len() > count {
            self.times.drain(..self.times.len() - count);
        }
        let was_raised = self.raised;
        self.raised = self.times.len() == count && self.spans_less_than(threshold.micros());
        self.raised && !was_raised
    }

    fn spans_less_than(&self, micros: i64) -> bool {
        match (self.times.first(), self.times.last()) {
            (Some(first), Some(last)) => last.saturating_sub(*first) < micros,
            _ => true,
        }
    }

    pub(crate) fn latest(&self) -> i64 {
        self.times.last().copied().unwrap_or(i64::MIN)
    }

    /// How many are younger than the threshold says at `now`.
    pub(crate) fn recent(&self, now: i64, threshold: &Threshold) -> usize {
        let since = now.saturating_sub(threshold.micros());
        self.times.len() - self.times.partition_point(|time| *time <= since)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALERT: Threshold = Threshold::more_than(10, Duration::from_secs(300));
    const SECOND: i64 = 1_000_000;

    #[test]
    fn a_moment_of_exactly_that_age_counts_no_longer() {
        let mut ring = Ring::default();
        for _ in 0..10 {
            assert!(!ring.note(0, &ALERT));
        }
        assert!(!ring.note(300 * SECOND, &ALERT));
        let mut ring = Ring::default();
        for _ in 0..10 {
            assert!(!ring.note(0, &ALERT));
        }
        assert!(ring.note(300 * SECOND - 1, &ALERT));
    }

    #[test]
    fn a_steady_violator_raises_one_alert_and_another_after_a_pause() {
        let mut ring = Ring::default();
        let steady = (0..100).filter(|n| ring.note(n * 29 * SECOND, &ALERT));
        assert_eq!(steady.collect::<Vec<_>>(), [10]);
        let later = (200..250).filter(|n| ring.note(n * 29 * SECOND, &ALERT));
        assert_eq!(later.collect::<Vec<_>>(), [210]);
    }

    proptest! {
        /// Compared with all moments, kept and counted one by one.
        #[test]
        fn p004_16_the_alert_comes_on_the_eleventh_and_never_before(
            pauses in proptest::collection::vec(0i64..90, 1..200),
        ) {
            let mut ring = Ring::default();
            let (mut all, mut now, mut raised) = (Vec::new(), 0i64, false);
            for pause in pauses {
                now += pause * SECOND;
                all.push(now);
                let within = all.iter().filter(|at| now - **at < 300 * SECOND).count();
                let over = within > 10;
                prop_assert_eq!(ring.note(now, &ALERT), over && !raised);
                prop_assert!(ring.times.len() <= 11);
                raised = over;
            }
        }

        /// Instances tell theirs late, and a store sees them out of order.
        #[test]
        fn p004_16_no_order_of_arrival_makes_it_come_too_early(
            times in proptest::collection::vec(0i64..900, 1..60),
        ) {
            let mut ring = Ring::default();
            for (seen, at) in times.iter().enumerate() {
                if ring.note(at * SECOND, &ALERT) {
                    let mut sorted = times[..=seen].to_vec();
                    sorted.sort_unstable();
                    prop_assert!(sorted.windows(11).any(|eleven| eleven[10] - eleven[0] < 300));
                }
            }
        }
    }
}
