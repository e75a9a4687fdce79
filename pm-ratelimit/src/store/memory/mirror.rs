use pm_core::Tick;

use super::MemoryStore;
use crate::store::LocalStore;
use crate::{Charge, Decision};

impl LocalStore for MemoryStore {
    fn decide_locally(&self, charges: &[Charge], now: Tick) -> Decision {
        self.decide_now(charges, now)
    }

    /// Without room for the bucket, those that share one owe what it does: that is counted in
    /// [`MemoryStats::overflowed`](super::MemoryStats::overflowed).
    fn mirror(&self, charge: &Charge, full_at: Tick, now: Tick) {
        self.table.raise(charge, full_at, now);
    }
}

#[cfg(all(test, not(pm_loom)))]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{BucketId, Mode, Quota};

    const START: Tick = Tick::from_nanos(1_000_000_000);

    /// One token a second, four at once.
    const QUOTA: Quota = Quota::per_second(1).burst(4);

    fn charge(number: u128, cost: u32) -> Charge {
        Charge::new(BucketId::from_u128(number << 64 | number), QUOTA, cost)
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn left(store: &MemoryStore, charge: Charge, now: Tick) -> u32 {
        let peek = charge.with_mode(Mode::Peek);
        store.decide_locally(&[peek], now).outcomes()[0].remaining()
    }

    #[test]
    fn a_bucket_owes_what_it_is_told_to_and_never_less_than_it_did() {
        let store = MemoryStore::bounded(10);
        for (told, is_left) in [(2, 2), (1, 2), (0, 2), (3, 1), (2, 1), (4, 0), (9, 0)] {
            store.mirror(&charge(1, 1), START + seconds(told), START);
            assert_eq!(left(&store, charge(1, 1), START), is_left, "{told}");
        }
        assert_eq!(left(&store, charge(2, 1), START), 4, "another bucket");
        assert!(
            !store
                .decide_locally(&[charge(1, 1)], START + seconds(5))
                .is_admitted()
        );
        assert!(
            store
                .decide_locally(&[charge(1, 1)], START + seconds(6))
                .is_admitted()
        );
    }

    #[test]
    fn what_is_paid_back_already_needs_no_place() {
        let store = MemoryStore::bounded(1);
        for number in 0..1_000 {
            store.mirror(&charge(number, 1), START, START);
            store.mirror(&charge(number, 1), Tick::ZERO, START);
        }
        assert_eq!(store.stats().overflowed, 0);
        assert!(store.decide_locally(&[charge(7, 4)], START).is_admitted());
    }

    #[test]
    fn another_quota_keeps_what_is_owed_if_it_is_more() {
        let store = MemoryStore::bounded(10);
        let fast = Charge::new(charge(1, 1).bucket(), Quota::per_second(10).burst(40), 1);
        assert!(store.decide_locally(&[charge(1, 3)], START).is_admitted());
        // Three tokens at ten a second are three tenths of a second.
        store.mirror(&fast, START + Duration::from_millis(100), START);
        assert_eq!(left(&store, fast, START), 37);
        store.mirror(&fast, START + seconds(2), START);
        assert_eq!(left(&store, fast, START), 20);
    }

    #[test]
    fn without_room_those_who_share_a_bucket_owe_it() {
        let store = MemoryStore::bounded(1);
        let places = 8;
        for number in 0..places {
            store.mirror(&charge(number, 1), START + seconds(4), START);
        }
        assert!(store.stats().overflowed > 0);
        // Nobody who owes is forgotten, with a place or without.
        for number in 0..places {
            let decision = store.decide_locally(&[charge(number, 1)], START);
            assert!(!decision.is_admitted(), "{number}");
        }
    }

    proptest! {
        /// Beside charges and changes of quota: told or not, a bucket never has more than before,
        /// and never more than it was told.
        #[test]
        fn it_only_tightens(
            steps in proptest::collection::vec((0u64..3_000, 1u32..4, 0u64..9_000, 1u32..4), 1..60)
        ) {
            let store = MemoryStore::bounded(10);
            let mut now = START;
            for (millis, tokens, told, cost) in steps {
                now += Duration::from_millis(millis);
                let quota = Quota::per_second(tokens).burst(9);
                let charge = Charge::new(BucketId::from_u128(7), quota, cost);
                let before = left(&store, charge, now);
                let told = Duration::from_millis(told);
                store.mirror(&charge, now + told, now);
                let after = left(&store, charge, now);
                let owed = told.as_nanos().div_ceil(quota.interval().as_nanos());
                let most = 9 - u32::try_from(owed).unwrap_or(9).min(9);
                prop_assert_eq!(after, before.min(most));
                let admitted = store.decide_locally(&[charge], now).is_admitted();
                prop_assert_eq!(admitted, cost <= after);
            }
        }
    }
}

/// Every interleaving, as the other models of this store.
#[cfg(all(test, pm_loom))]
mod loom_tests {
    use std::sync::Arc;

    use loom::thread;

    use super::*;
    use crate::{BucketId, Quota};

    const SECOND: u64 = 1_000_000_000;
    const NOW: Tick = Tick::from_nanos(5);
    const ONE: Quota = Quota::per_second(1);

    fn charge(bucket: u128, quota: Quota) -> Charge {
        Charge::new(BucketId::from_u128(bucket), quota, 1)
    }

    fn admits(store: &MemoryStore, charge: Charge, now: Tick) -> bool {
        store.decide_locally(&[charge], now).is_admitted()
    }

    #[test]
    fn a_charge_beside_a_mirrored_debt_loses_neither() {
        loom::model(|| {
            let store = Arc::new(MemoryStore::bounded(1));
            let two = charge(1, ONE.burst(2));
            let other = Arc::clone(&store);
            let thread = thread::spawn(move || {
                other.mirror(&two, Tick::from_nanos(5 + SECOND), NOW);
            });
            let first = admits(&store, two, NOW);
            thread.join().expect("no panic");
            assert!(first, "there were two, or one");
            // Raised and then charged owes two; charged and then raised owes one.
            let second = admits(&store, two, NOW);
            assert!(!(second && admits(&store, two, NOW)), "three of two");
        });
    }

    #[test]
    fn a_mirrored_debt_beside_a_change_of_quota_is_not_lost() {
        loom::model(|| {
            let store = Arc::new(MemoryStore::bounded(1));
            let full = Tick::from_nanos(5 + 2 * SECOND);
            let (one, half) = (charge(1, ONE.burst(2)), charge(1, ONE));
            let half = half.with_ceiling(2);
            assert!(admits(&store, one, NOW));
            let other = Arc::clone(&store);
            let thread = thread::spawn(move || other.mirror(&one, full, NOW));
            let _ = admits(&store, half, NOW);
            thread.join().expect("no panic");
            assert!(!admits(&store, one, NOW), "it owes all there is");
        });
    }

    #[test]
    fn a_mirrored_newcomer_takes_no_place_from_another() {
        loom::model(|| {
            let store = Arc::new(MemoryStore::bounded(1));
            // Both places are held by buckets that are full again by the time one more comes.
            for bucket in [1, 2] {
                assert!(admits(&store, charge(bucket, ONE), NOW));
            }
            let later = Tick::from_nanos(5 + 2 * SECOND);
            let full = Tick::from_nanos(5 + 3 * SECOND);
            let other = Arc::clone(&store);
            let thread = thread::spawn(move || other.mirror(&charge(3, ONE), full, later));
            assert!(admits(&store, charge(1, ONE), later));
            thread.join().expect("no panic");
            assert!(
                !admits(&store, charge(1, ONE), later),
                "its charge was lost"
            );
            assert!(
                !admits(&store, charge(3, ONE), later),
                "the newcomer's debt was lost"
            );
        });
    }
}
