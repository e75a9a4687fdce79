use std::time::Duration;

use fastrand::Rng;

/// No server is believed that asks for more.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// How long to wait before coming back: exponential, with full jitter, so that a thousand clients
/// that lost the same server do not return in the same moment.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
    rng: Rng,
}

impl Backoff {
    /// Waits at most `first` the first time, twice that the next, and never more than `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            attempts: 0,
            rng: Rng::new(),
        }
    }

    /// The same waits every time: for tests and simulations.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.rng = Rng::with_seed(seed);
        self
    }

    /// The next wait. What the server asked for, if it did, is waited for at least, up to five
    /// minutes; the jitter comes on top, since everybody may have been asked for the same.
    pub fn next_wait(&mut self, asked: Option<Duration>) -> Duration {
        let doublings = self.attempts.min(31);
        let ceiling = self.first.saturating_mul(1 << doublings).min(self.longest);
        self.attempts = self.attempts.saturating_add(1);
        match asked {
            None => ceiling.mul_f64(self.rng.f64()),
            Some(asked) => asked.min(LONGEST_ASKED) + self.first.mul_f64(self.rng.f64()),
        }
    }

    /// How many waits there were since it last went well.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// It went well: the next wait is a first one.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// Half a second at first, ten at the longest.
impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    #[test]
    fn the_ceiling_doubles_up_to_the_longest_and_starts_again_after_success() {
        for seed in 0..100 {
            let mut backoff = Backoff::new(FIRST, LONGEST).with_seed(seed);
            for ceiling in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
                assert!(backoff.next_wait(None) <= Duration::from_millis(ceiling));
            }
            assert_eq!(backoff.attempts(), 8);
            backoff.reset();
            assert!(backoff.next_wait(None) <= FIRST);
        }
    }

    #[test]
    fn the_waits_are_spread_over_the_whole_range() {
        let mut backoff = Backoff::new(FIRST, FIRST).with_seed(7);
        let waits: Vec<_> = (0..1_000).map(|_| backoff.next_wait(None)).collect();
        let below = |limit| waits.iter().filter(|wait| **wait < limit).count();
        assert!((150..=250).contains(&below(FIRST / 5)));
        assert!((450..=550).contains(&below(FIRST / 2)));
    }

    #[test]
    fn what_the_server_asks_for_is_waited_for() {
        for seed in 0..100 {
            let mut backoff = Backoff::new(FIRST, LONGEST).with_seed(seed);
            let asked = Duration::from_secs(8);
            let wait = backoff.next_wait(Some(asked));
            assert!(asked <= wait && wait <= asked + FIRST);
            let wait = backoff.next_wait(Some(Duration::MAX));
            assert!(wait <= LONGEST_ASKED + FIRST);
        }
    }

    #[test]
    fn it_never_overflows() {
        let mut backoff = Backoff::new(Duration::from_secs(1), LONGEST).with_seed(1);
        for _ in 0..10_000 {
            assert!(backoff.next_wait(None) <= LONGEST);
        }
    }
}
