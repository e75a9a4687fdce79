//! What holds for all outcomes and all times.

use proptest::prelude::*;

use super::*;

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Success),
        Just(Outcome::Failure),
        Just(Outcome::retryable()),
        Just(Outcome::Ignored),
    ]
}

proptest! {
    /// It opens with the failure that makes five in a row by default, not before, and whatever was
    /// before.
    #[test]
    fn p004_17_it_opens_on_consecutive_failures(
        limit in prop_oneof![Just(5u16), 1u16..20],
        outcomes in proptest::collection::vec(outcome(), 0..200),
    ) {
        let default = BreakerSettings::new();
        prop_assert_eq!(default.consecutive_failures, 5);
        let (breaker, _) = breaker(default.with_consecutive_failures(limit));
        let mut in_a_row = 0;
        for outcome in outcomes {
            let permit = breaker.try_acquire();
            prop_assert_eq!(permit.is_ok(), in_a_row < limit);
            let Ok(permit) = permit else { break };
            permit.settle(outcome);
            match outcome {
                Outcome::Success => in_a_row = 0,
                outcome if outcome.is_failure() => in_a_row += 1,
                _ => {}
            }
            let expected = if in_a_row < limit { State::Closed } else { State::Open };
            prop_assert_eq!(breaker.state(), expected);
        }
    }

    /// After 30 seconds by default, and not before, one call of any number is let in; it closes the
    /// breaker or opens it again.
    #[test]
    fn p004_18_half_open_lets_one_probe_decide(
        early in 0u64..30_000,
        callers in 1usize..50,
        succeeds in any::<bool>(),
    ) {
        let (breaker, time) = open(BreakerSettings::new());
        time.advance(Duration::from_millis(early));
        prop_assert!(rejects(&breaker));
        time.advance(Duration::from_millis(30_000 - early));
        let mut probes: Vec<_> = (0..callers).filter_map(|_| breaker.try_acquire().ok()).collect();
        prop_assert_eq!(probes.len(), 1);
        prop_assert_eq!(breaker.state(), State::HalfOpen);
        let outcome = if succeeds { Outcome::Success } else { Outcome::Failure };
        probes.remove(0).settle(outcome);
        let expected = if succeeds { State::Closed } else { State::Open };
        prop_assert_eq!(breaker.state(), expected);
        prop_assert_eq!(rejects(&breaker), !succeeds);
        if !succeeds {
            time.advance(OPEN_FOR);
            prop_assert!(breaker.try_acquire().is_ok(), "and so on");
        }
    }
}
