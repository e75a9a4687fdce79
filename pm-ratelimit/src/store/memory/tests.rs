use std::collections::HashMap;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use pm_core::{Clock, ManualTime};
use proptest::prelude::*;

use super::*;
use crate::algorithm::Gcra;
use crate::store::conformance::Fixture;
use crate::{BucketId, Quota};

fn look(store: &MemoryStore, charge: Charge, now: Tick) -> Outcome {
    store.table.find(&charge, now).look(&charge, now)
}

/// Takes a charge that fits.
fn take(store: &MemoryStore, charge: Charge, now: Tick) -> (Outcome, Option<Receipt<'_>>) {
    let found = store.table.find(&charge, now);
    (store.table.take_found(&found, &charge, now)).expect("it fits")
}

struct Memory {
    store: Arc<MemoryStore>,
    clock: Clock,
    time: ManualTime,
}

impl Memory {
    fn bounded(buckets: usize) -> Self {
        let (clock, time) = Clock::manual();
        Self {
            store: Arc::new(MemoryStore::bounded(buckets)),
            clock,
            time,
        }
    }
}

#[async_trait]
impl Fixture for Memory {
    fn store(&self) -> Arc<dyn RateLimitStore> {
        Arc::clone(&self.store) as Arc<dyn RateLimitStore>
    }

    fn now(&self) -> Tick {
        self.clock.now()
    }

    async fn advance(&self, by: Duration) {
        self.time.advance(by);
    }
}

mod conformance {
    crate::conformance!(super::Memory::bounded(1_000));
}

/// A golden-ratio walk: ids that are spread like those of a digest, and the same in every run.
fn id(number: u64) -> BucketId {
    let spread = |number: u64| {
        let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        u128::from((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9))
    };
    BucketId::from_u128(spread(number) << 64 | spread(!number))
}

fn charge(number: u64, quota: Quota, cost: u32) -> Charge {
    Charge::new(id(number), quota, cost)
}

fn at(nanos: u64) -> Tick {
    Tick::from_nanos(nanos)
}

const DAILY: Quota = Quota::per_day(1);

#[test]
fn eviction_never_frees_a_limited_bucket() {
    // Small caches that forget whoever is limited: limitador, LRU maps, rate-net 1.x.
    let store = MemoryStore::bounded(64);
    assert!(
        store
            .decide_now(&[charge(0, DAILY, 1)], at(5))
            .is_admitted()
    );
    for flood in 1..100_000 {
        let _ = store.decide_now(&[charge(flood, DAILY, 1)], at(5 + flood));
        assert!(
            flood % 100 != 0
                || !store
                    .decide_now(&[charge(0, DAILY, 1)], at(5 + flood))
                    .is_admitted(),
            "freed by {flood} others"
        );
    }
    assert!(store.stats().overflowed > 0);
}

#[test]
fn a_full_table_fails_closed_and_is_counted() {
    let store = MemoryStore::bounded(64);
    let places = store.table.places() as u64;
    let shared = places.div_ceil(16);
    let mut admitted = 0;
    for number in 0..100_000 {
        admitted += u64::from(
            store
                .decide_now(&[charge(number, DAILY, 1)], at(5))
                .is_admitted(),
        );
    }
    assert!(
        admitted <= places + shared,
        "{admitted} of {places} places and {shared} shared"
    );
    let overflowed = store.stats().overflowed;
    let placed = 100_000 - overflowed;
    assert!(placed <= places, "{placed} of {places} places");
    assert!(
        placed * 10 >= places * 9,
        "only {placed} of {places} places"
    );
    // So do lists, and whoever only looks.
    let list: Vec<Charge> = (0..4)
        .map(|number| charge(200_000 + number, DAILY, 1))
        .collect();
    assert!(!store.decide_now(&list, at(5)).is_admitted());
    assert_eq!(store.stats().overflowed, overflowed + 4);
}

#[test]
fn room_that_is_free_again_is_used_again() {
    // No sweeping task: each newcomer takes over a place whose bucket is full again.
    let store = MemoryStore::bounded(64);
    let quota = Quota::per_second(10);
    for number in 0..100_000 {
        let now = at(number * 10_000_000);
        assert!(
            store
                .decide_now(&[charge(number, quota, 1)], now)
                .is_admitted()
        );
    }
    assert_eq!(
        store.stats(),
        MemoryStats {
            forfeited: 0,
            overflowed: 0
        }
    );
}

#[test]
fn what_was_spent_in_a_shared_bucket_is_not_given_back_with_a_place() {
    let store = MemoryStore::bounded(1);
    let places = store.table.places() as u64;
    let short = Quota::per_second(1);
    for number in 0..places {
        assert!(
            store
                .decide_now(&[charge(number, short, 1)], at(1))
                .is_admitted()
        );
    }
    assert!(
        store
            .decide_now(&[charge(999, DAILY, 1)], at(1))
            .is_admitted(),
        "the shared bucket"
    );
    assert_eq!(store.stats().overflowed, 1);
    let later = at(10_000_000_000);
    assert!(
        !store
            .decide_now(&[charge(999, DAILY, 1)], later)
            .is_admitted(),
        "a second burst"
    );
}

#[test]
fn a_stale_clock_behind_an_eviction_only_tightens() {
    // A thread reads the clock and is stopped; meanwhile its bucket fills up and is given up.
    let store = MemoryStore::bounded(1);
    let places = store.table.places() as u64;
    let quota = Quota::per_second(10).burst(10);
    let second = 1_000_000_000;
    assert!(
        store
            .decide_now(&[charge(0, quota, 10)], at(1))
            .is_admitted()
    );
    for number in 1..=places {
        assert!(
            store
                .decide_now(&[charge(number, quota, 1)], at(2 + second))
                .is_admitted()
        );
    }
    let stale = at(second / 2);
    assert!(
        store
            .decide_now(&[charge(0, quota, 10)], stale)
            .is_admitted()
    );
    let later = at(second + second / 2);
    assert!(
        !store
            .decide_now(&[charge(0, quota, 10)], later)
            .is_admitted(),
        "thirty within a second and a half, of ten a second"
    );
}

#[test]
fn room_for_as_many_as_promised() {
    for buckets in [1, 10, 100, 1_000, 50_000] {
        let store = MemoryStore::bounded(buckets);
        for number in 0..buckets as u64 {
            assert!(
                store
                    .decide_now(&[charge(number, DAILY, 1)], at(1))
                    .is_admitted()
            );
        }
        assert_eq!(store.stats().overflowed, 0, "{buckets} buckets");
        assert!(
            store.table.places() <= 2 * buckets + 256,
            "{buckets} buckets"
        );
    }
}

#[test]
#[should_panic(expected = "a memory store needs room for at least one bucket")]
fn room_for_none_cannot_be_asked_for() {
    let _ = MemoryStore::bounded(0);
}

#[test]
fn a_refusal_changes_no_bucket_bit_for_bit() {
    let store = MemoryStore::bounded(64);
    let quota = DAILY.burst(10);
    for number in 0..7 {
        let _ = store.decide_now(&[charge(number, quota, 3 + number as u32)], at(1 + number));
    }
    let words = || {
        (0..8)
            .map(|number| look(&store, charge(number, quota, 0), at(9)))
            .collect::<Vec<_>>()
    };
    let before = words();
    // The last one does not fit; one more has no place yet and must not get one.
    let charges: Vec<Charge> = (0..8)
        .map(|number| charge(number, quota, if number == 6 { 8 } else { 1 }))
        .collect();
    assert!(!store.decide_now(&charges, at(9)).is_admitted());
    let alone = charge(3, quota, 9);
    assert!(!store.decide_now(&[alone], at(9)).is_admitted());
    assert_eq!(words(), before);
}

#[test]
fn a_newcomer_leaves_those_who_are_full_again_their_places_while_there_are_unused_ones() {
    // Each drove out the one before, who then had to be brought in again, under the lock.
    let store = MemoryStore::bounded(1);
    let places = store.table.places() as u64;
    let quota = Quota::per_second(1_000);
    let later = |number: u64| Tick::from_nanos((number + 1) * 1_000_000_000);
    for number in 0..places {
        let _ = take(&store, charge(number, quota, 1), later(number));
    }
    for number in 0..places {
        let found = store.table.find(&charge(number, quota, 1), later(places));
        assert!(found.has_place(), "{number}");
    }
}

#[test]
fn a_take_lost_in_the_middle_puts_back_exactly_what_was_there() {
    // The same bucket twice: each fits alone, the second is found out only while taking.
    let store = MemoryStore::bounded(64);
    let quota = DAILY.burst(10);
    for number in 0..3 {
        assert!(
            store
                .decide_now(&[charge(number, quota, 2)], at(5))
                .is_admitted()
        );
    }
    let words = || {
        (0..3)
            .map(|number| look(&store, charge(number, quota, 0), at(7)))
            .collect::<Vec<_>>()
    };
    let before = words();
    let charges = [
        charge(0, quota, 1),
        charge(1, quota, 5),
        charge(2, quota, 1),
        charge(1, quota, 4),
    ];
    assert!(!store.decide_now(&charges, at(7)).is_admitted());
    assert_eq!(words(), before);
    assert_eq!(store.stats().forfeited, 0);
}

#[test]
fn a_charge_that_others_built_upon_stays_and_is_counted() {
    let store = MemoryStore::bounded(64);
    let quota = DAILY.burst(10);
    let (_, receipt) = take(&store, charge(0, quota, 1), at(5));
    let mut receipts = ArrayVec::new();
    receipts.extend(receipt);
    assert!(
        store
            .decide_now(&[charge(0, quota, 1)], at(5))
            .is_admitted()
    );
    store.put_back(receipts);
    assert_eq!(store.stats().forfeited, 1);
    let left = store.decide_now(&[charge(0, quota, 0)], at(5)).outcomes()[0].remaining();
    assert_eq!(left, 8, "stricter by the one that stayed");
}

/// Threads charge single buckets and overlapping lists, on a table so small that buckets change
/// places all the time, with a clock that moves. None is ever charged more than it may be.
#[test]
fn many_threads_never_admit_too_much() {
    const BUCKETS: u64 = 48;
    const ROUNDS: u64 = 40_000;
    let quota = Quota::new(1_000, Duration::from_secs(1)).burst(20);
    let same = quota.burst(15);
    let store = MemoryStore::bounded(16);
    let clock = AtomicU64::new(1);
    let admitted: Vec<AtomicU32> = (0..BUCKETS).map(|_| AtomicU32::new(0)).collect();

    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (store, clock, admitted) = (&store, &clock, &admitted);
            scope.spawn(move || {
                let mut random = 0x2545_f491_4f6c_dd1d ^ (thread + 1).wrapping_mul(0x9e37_79b9);
                for _ in 0..ROUNDS {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    // Half the time the clock stands still; sometimes it is read long before use.
                    let now = clock.fetch_add(random >> 8 & 0x7ff, Ordering::Relaxed);
                    let first = random % BUCKETS;
                    let second = (random >> 20) % BUCKETS;
                    // Under two quotas of the same rate, so that words are converted all the time.
                    let quota = if random & 1 << 50 != 0 { quota } else { same };
                    let charges = [charge(first, quota, 1), charge(second, quota, 1)]
                        .map(|charge| charge.with_ceiling(20));
                    let several = random & 1 << 40 != 0;
                    let charges = if several { &charges[..] } else { &charges[..1] };
                    if store.decide_now(charges, at(now)).is_admitted() {
                        admitted[first as usize].fetch_add(1, Ordering::Relaxed);
                        if several {
                            admitted[second as usize].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });

    let elapsed = u128::from(clock.load(Ordering::Relaxed));
    let most = 20 + elapsed * 1_000 / 1_000_000_000;
    for (bucket, admitted) in admitted.iter().enumerate() {
        let admitted = u128::from(admitted.load(Ordering::Relaxed));
        assert!(
            admitted <= most,
            "bucket {bucket} admitted {admitted} of {most}"
        );
    }
    assert!(store.stats().overflowed > 0, "the table was never full");
}

/// Every core on one bucket and the real clock.
#[test]
fn a_hot_bucket_on_a_real_clock_admits_its_rate() {
    let quota = Quota::per_second(200_000).burst(100);
    let store = MemoryStore::bounded(16);
    let clock = Clock::system();
    let start = clock.now();
    let threads = std::thread::available_parallelism()
        .map_or(2, std::num::NonZero::get)
        .max(2);
    let admitted: u128 = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    (0..200_000)
                        .filter(|_| {
                            store
                                .decide_now(&[charge(0, quota, 1)], clock.now())
                                .is_admitted()
                        })
                        .count() as u128
                })
            })
            .collect();
        handles
            .into_iter()
            .map(|handle| handle.join().expect("no panic"))
            .sum()
    });
    let elapsed = clock.now().saturating_duration_since(start).as_nanos();
    let most = 100 + elapsed * 200_000 / 1_000_000_000;
    assert!(admitted <= most, "{admitted} of {most}");
    assert!(admitted >= 100);
}

proptest! {
    /// Against one exact bucket per subject that is never evicted: never more, and the same as
    /// long as there is room.
    #[test]
    fn it_is_one_token_bucket_per_subject(
        roomy in any::<bool>(),
        steps in proptest::collection::vec(
            (0u64..40_000_000, proptest::collection::vec((0u64..200, 0u32..4), 1..=8)),
            1..300,
        ),
    ) {
        let quota = Quota::per_second(100).burst(5);
        let store = MemoryStore::bounded(if roomy { 1_000 } else { 8 });
        let gcra = Gcra::new(&quota);
        let mut model: HashMap<u64, u64> = HashMap::new();
        let mut now = 0;
        for (wait, list) in steps {
            now += wait;
            let charges: Vec<Charge> =
                list.iter().map(|(number, cost)| charge(*number, quota, *cost)).collect();
            let mut next = model.clone();
            let expected = list.iter().all(|(number, cost)| {
                let word = next.entry(*number).or_insert(0);
                gcra.take(*word, at(now), *cost).map(|taken| *word = taken.word).is_ok()
            });
            let admitted = store.decide_now(&charges, at(now)).is_admitted();
            if roomy {
                prop_assert_eq!(admitted, expected);
            }
            prop_assert!(expected || !admitted, "more than the model admits");
            if admitted {
                model = next;
            }
        }
        prop_assert_eq!(store.stats().forfeited, 0, "nobody else was there");
    }
}

#[test]
fn whoever_has_two_quotas_does_not_fill_one_up_with_the_other() {
    // Two tokens of one user, with different roles: what was taken as one is owed as the other.
    let store = MemoryStore::bounded(64);
    let (small, large) = (DAILY.burst(5), DAILY.burst(25));
    let as_ = |quota, cost| charge(0, quota, cost).with_ceiling(25);
    let mut admitted = 0;
    for _ in 0..100 {
        for quota in [large, small] {
            let decision = store.decide_now(&[as_(quota, 1)], at(5));
            admitted += u32::from(decision.is_admitted());
        }
    }
    assert_eq!(admitted, 25);
}

#[test]
fn what_is_put_back_after_a_change_of_quota_stays_taken() {
    let store = MemoryStore::bounded(64);
    let (slow, fast) = (DAILY.burst(10), Quota::per_hour(24).burst(10));
    let (_, receipt) = take(&store, charge(0, slow, 2), at(5));
    assert!(store.decide_now(&[charge(0, fast, 0)], at(5)).is_admitted());
    assert!(store.decide_now(&[charge(0, slow, 0)], at(5)).is_admitted());
    store.put_back(receipt.into_iter().collect());
    assert_eq!(store.stats().forfeited, 1);
    let left = store.decide_now(&[charge(0, slow, 0)], at(5)).outcomes()[0].remaining();
    assert_eq!(left, 8);
}

/// A bucket in unbounded fractions: what is owed, in tokens, as a fraction.
#[derive(Clone)]
struct Exact {
    owed: (u128, u128),
    at: u64,
    quota: Quota,
}

impl Exact {
    fn decide(&mut self, quota: Quota, now: u64, cost: u32) -> bool {
        let interval = |quota: &Quota| u128::from(quota.interval_nanos());
        // What comes back comes back at the old rate, up to this moment.
        let (tokens, parts) = self.owed;
        let old = interval(&self.quota);
        let (tokens, parts) = (tokens * old, parts * old);
        let back = u128::from(now - self.at) * (parts / old);
        let mut owed = (tokens.saturating_sub(back), parts);
        if self.quota != quota && quota.capacity() < self.quota.capacity() {
            let most = u128::from(quota.capacity()) * owed.1;
            owed.0 = owed.0.min(most);
        }
        // In nanoseconds of the new rate, rounded up, as every bucket is kept.
        let nanos = (owed.0 * interval(&quota)).div_ceil(owed.1);
        let price = u128::from(cost) * interval(&quota);
        let fits = cost == 0 || nanos + price <= interval(&quota) * u128::from(quota.capacity());
        let nanos = if fits { nanos + price } else { nanos };
        *self = Self {
            owed: (nanos, interval(&quota)),
            at: now,
            quota,
        };
        fits
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// 10⁵ steps and more in a run: bucket by bucket the same as fractions, whatever the changes.
    #[test]
    fn it_is_an_exact_bucket_whose_quota_changes(
        quotas in proptest::collection::vec(
            (1u32..5_000, 1u64..600_000, 1u32..60).prop_filter_map(
                "within the limits of a quota",
                |(tokens, millis, burst)| {
                    Quota::try_new(tokens, Duration::from_millis(millis), burst).ok()
                },
            ),
            4,
        ),
        steps in proptest::collection::vec(
            (0u64..300_000_000, 0u64..3, 0usize..4, 0u32..8, any::<bool>()),
            200..300,
        ),
    ) {
        let store = MemoryStore::bounded(1_000);
        let mut exact: HashMap<u64, Exact> = HashMap::new();
        let mut now = 0;
        let mut current = quotas[0];
        for (wait, number, quota, cost, changes) in steps {
            now += wait;
            if changes && wait % 4 == 0 {
                current = quotas[quota];
            }
            let bucket = exact
                .entry(number)
                .or_insert(Exact { owed: (0, 1), at: now, quota: current });
            let decision = store.decide_now(&[charge(number, current, cost)], at(now));
            prop_assert_eq!(decision.is_admitted(), bucket.decide(current, now, cost));
            let (nanos, _) = bucket.owed;
            let outcome = decision.outcomes()[0];
            prop_assert_eq!(outcome.reset_after().as_nanos(), nanos);
            if let Some(wait) = outcome.retry_after() {
                let wait = u64::try_from(wait.as_nanos()).expect("within 584 years");
                let mut later = bucket.clone();
                prop_assert!(later.decide(current, now + wait, cost), "the wait was too short");
                let mut early = bucket.clone();
                prop_assert!(!early.decide(current, now + wait - 1, cost), "too long");
            }
        }
        prop_assert_eq!(store.stats(), MemoryStats { forfeited: 0, overflowed: 0 });
    }
}
