use std::time::Duration;

use super::{Jitter, RetrySettings};

/// The wait behind the attempt of this number, the first being 1, after which what was called asked
/// to be left alone for `after`. `random` is between nothing and what it is given.
pub(super) fn wait(
    settings: &RetrySettings,
    attempt: u32,
    after: Option<Duration>,
    random: impl FnOnce(Duration) -> Duration,
) -> Duration {
    let doubled = 2u32.checked_pow(attempt.saturating_sub(1));
    let whole = doubled
        .and_then(|times| settings.base.checked_mul(times))
        .map_or(settings.longest, |whole| whole.min(settings.longest));
    let half = whole / 2;
    match (after, settings.jitter) {
        (Some(after), Jitter::None) => after.max(whole),
        (Some(after), _) => after.max(half) + random(half),
        (None, Jitter::Full) => random(whole),
        (None, Jitter::Equal) => half + random(half),
        (None, Jitter::None) => whole,
    }
}

/// Between nothing and `most`, both included.
pub(super) fn random(most: Duration) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(fastrand::u64(0..=nanos))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn settings(jitter: Jitter) -> RetrySettings {
        RetrySettings::exponential(50 * MS, 1_000 * MS).with_jitter(jitter)
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits = |jitter, random: fn(Duration) -> Duration| {
            [1, 2, 3, 4, 5, 6, 33, u32::MAX]
                .map(|attempt| wait(&settings(jitter), attempt, None, random).as_millis())
        };
        let whole = [50, 100, 200, 400, 800, 1_000, 1_000, 1_000];
        assert_eq!(waits(Jitter::None, |_| Duration::ZERO), whole);
        assert_eq!(waits(Jitter::Full, |most| most), whole);
        assert_eq!(waits(Jitter::Full, |_| Duration::ZERO), [0; 8]);
        assert_eq!(waits(Jitter::Equal, |most| most), whole);
        assert_eq!(
            waits(Jitter::Equal, |_| Duration::ZERO),
            whole.map(|whole| whole / 2)
        );
    }

    #[test]
    fn what_was_asked_for_is_kept_and_still_spread() {
        let wait = |after, random: fn(Duration) -> Duration| {
            wait(&settings(Jitter::Full), 1, Some(after), random)
        };
        assert_eq!(wait(300 * MS, |_| Duration::ZERO), 300 * MS);
        assert_eq!(wait(300 * MS, |most| most), 325 * MS);
        assert_eq!(
            wait(Duration::ZERO, |_| Duration::ZERO),
            25 * MS,
            "never at once"
        );
    }

    proptest! {
        #[test]
        fn chance_stays_within_its_bounds(attempt in 1..50u32, after in 0..5_000u32) {
            let after = after * MS;
            let full = wait(&settings(Jitter::Full), attempt, None, random);
            prop_assert!(full <= 1_000 * MS);
            let throttled = wait(&settings(Jitter::Full), attempt, Some(after), random);
            prop_assert!(throttled >= after && throttled <= after.max(500 * MS) + 500 * MS);
        }
    }
}
