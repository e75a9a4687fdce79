//! Every interleaving of a few threads, as far as loom's memory model goes:
//! `RUSTFLAGS="--cfg pm_loom" cargo test -p pm-ratelimit --release --lib loom`

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64 as Clock, Ordering};
use loom::thread;
use pm_core::Tick;

use super::MemoryStore;
use crate::{BucketId, Charge, Quota};

/// One token per second, one at a time.
const ONE: Quota = Quota::per_second(1);
const SECOND: u64 = 1_000_000_000;

fn charge(bucket: u128) -> Charge {
    Charge::new(BucketId::from_u128(bucket), ONE, 1)
}

fn admits(store: &MemoryStore, charges: &[Charge], now: u64) -> u64 {
    u64::from(
        store
            .decide_now(charges, Tick::from_nanos(now))
            .is_admitted(),
    )
}

/// A store with this many places, in one shard.
fn places(places: usize) -> Arc<MemoryStore> {
    let store = MemoryStore::bounded(places.div_ceil(2));
    assert_eq!(store.table.places(), places);
    Arc::new(store)
}

#[test]
fn two_newcomers_of_one_bucket_are_one_admission() {
    loom::model(|| {
        let store = places(2);
        let other = Arc::clone(&store);
        let thread = thread::spawn(move || admits(&other, &[charge(1)], 5));
        let admitted = admits(&store, &[charge(1)], 5);
        assert_eq!(admitted + thread.join().expect("no panic"), 1);
    });
}

#[test]
fn a_word_with_a_moving_clock_admits_burst_and_rate() {
    loom::model(|| {
        let store = places(2);
        let clock = Arc::new(Clock::new(5));
        assert_eq!(admits(&store, &[charge(1)], 5), 1);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
                thread::spawn(move || {
                    let now = clock.load(Ordering::Relaxed);
                    admits(&store, &[charge(1)], now)
                })
            })
            .collect();
        clock.store(5 + SECOND, Ordering::Relaxed);
        let admitted: u64 = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .sum();
        assert!(admitted <= 1, "one second gives back one token");
    });
}

#[test]
fn a_bucket_whose_place_is_taken_over_loses_no_charge() {
    loom::model(|| {
        let store = places(2);
        // Both places are held by buckets that are full again by the time two more come.
        assert_eq!(admits(&store, &[charge(1)], 5), 1);
        assert_eq!(admits(&store, &[charge(2)], 5), 1);
        let now = 5 + 2 * SECOND;
        let other = Arc::clone(&store);
        let thread = thread::spawn(move || admits(&other, &[charge(3)], now));
        assert_eq!(admits(&store, &[charge(1)], now), 1);
        assert_eq!(thread.join().expect("no panic"), 1);
        assert_eq!(
            admits(&store, &[charge(1)], now),
            0,
            "its own charge was lost"
        );
        assert_eq!(
            admits(&store, &[charge(3)], now),
            0,
            "the newcomer's charge was lost"
        );
    });
}

#[test]
fn lists_that_overlap_are_all_or_nothing() {
    loom::model(|| {
        let store = places(4);
        let other = Arc::clone(&store);
        let thread = thread::spawn(move || admits(&other, &[charge(2), charge(1)], 5));
        let admitted = admits(&store, &[charge(1), charge(2)], 5);
        assert_eq!(
            admitted + thread.join().expect("no panic"),
            1,
            "one of them is first"
        );
    });
}

#[test]
fn a_list_that_loses_puts_back_or_counts() {
    loom::model(|| {
        let store = places(4);
        let other = Arc::clone(&store);
        let thread = thread::spawn(move || admits(&other, &[charge(2)], 5));
        let list = admits(&store, &[charge(1), charge(2)], 5);
        let single = thread.join().expect("no panic");
        assert_eq!(list + single, 1);
        // If the list lost, its first bucket is as it was.
        assert_eq!(admits(&store, &[charge(1)], 5), single);
        assert_eq!(store.stats().forfeited, 0);
    });
}

/// Half the rate of [`ONE`].
const HALF: Quota = Quota::new(1, std::time::Duration::from_secs(2));

#[test]
fn a_change_of_quota_loses_no_charge() {
    loom::model(|| {
        let store = places(2);
        let under =
            |quota| Charge::new(BucketId::from_u128(1), Quota::burst(quota, 2), 1).with_ceiling(2);
        assert_eq!(admits(&store, &[under(ONE)], 5), 1);
        let other = Arc::clone(&store);
        let thread = thread::spawn(move || admits(&other, &[under(HALF)], 5));
        let admitted = admits(&store, &[under(ONE)], 5);
        let admitted = admitted + thread.join().expect("no panic");
        assert!(admitted <= 1, "three of two");
        assert_eq!(admits(&store, &[under(HALF)], 5), 0);
    });
}

#[test]
fn what_is_put_back_during_a_change_of_quota_is_not_given_away() {
    loom::model(|| {
        let store = places(4);
        let other = Arc::clone(&store);
        let half = Charge::new(BucketId::from_u128(2), HALF, 1);
        let thread = thread::spawn(move || admits(&other, &[half], 5));
        let list = admits(&store, &[charge(2), charge(1), charge(1)], 5);
        let single = thread.join().expect("no panic");
        assert_eq!(list, 0, "one of its buckets holds one and is charged two");
        let rest = admits(&store, &[half], 5);
        assert!(single + rest <= 1);
    });
}
