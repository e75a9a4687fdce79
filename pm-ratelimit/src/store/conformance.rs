//! The suite that every store and every wrapper of one runs.
//!
//! Each function is one promise of [`RateLimitStore`], checked on a fresh [`Fixture`]; it panics
//! where the promise is broken. [`conformance!`](crate::conformance) makes one test of each:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use async_trait::async_trait;
//! use pm_core::{Clock, ManualTime, Tick};
//! use pm_ratelimit::store::conformance::Fixture;
//! use pm_ratelimit::{MemoryStore, RateLimitStore};
//!
//! struct Memory(Arc<MemoryStore>, Clock, ManualTime);
//!
//! impl Memory {
//!     fn new() -> Self {
//!         let (clock, time) = Clock::manual();
//!         Self(Arc::new(MemoryStore::bounded(1_000)), clock, time)
//!     }
//! }
//!
//! #[async_trait]
//! impl Fixture for Memory {
//!     fn store(&self) -> Arc<dyn RateLimitStore> {
//!         self.0.clone()
//!     }
//!
//!     fn now(&self) -> Tick {
//!         self.1.now()
//!     }
//!
//!     async fn advance(&self, by: Duration) {
//!         self.2.advance(by);
//!     }
//! }
//!
//! pm_ratelimit::conformance!(Memory::new());
//! # fn main() {}
//! ```
//!
//! The suite grows with the contract and is outside semantic versioning.

use std::collections::hash_map::RandomState;
use std::future::{Future, poll_fn};
use std::hash::BuildHasher;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use pm_core::Tick;

use super::RateLimitStore;
use crate::{BucketId, Charge, Charges, Decision, Mode, Quota};

/// A store to be tested, and the time it decides by.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The store, the same on every call.
    fn store(&self) -> Arc<dyn RateLimitStore>;

    /// What a caller's clock shows.
    fn now(&self) -> Tick;

    /// Makes at least this time pass for the store and for the caller's clock: at once where the
    /// time is manual, by waiting where the store has a clock of its own.
    async fn advance(&self, by: Duration);

    /// Whether its decisions are to be marked as those of a fallback. Not unless it says so.
    fn is_degraded(&self) -> bool {
        false
    }

    /// Whether a decision on several buckets is one step for everybody else, too; it is unless this
    /// is overridden. If not, those that are refused may hold tokens for a moment that others are
    /// refused for, as the [contract](RateLimitStore) says.
    fn is_one_step(&self) -> bool {
        true
    }
}

/// One test for each function of [`store::conformance`](mod@crate::store::conformance), on the
/// fixture that the expression makes anew for each. Where a fixture is dear to make,
/// `conformance!(all on fixture)` is a single test, `the_whole_suite`, which goes through them on
/// one.
///
/// The tests are `#[tokio::test]`s: the package needs `tokio` with the features `macros` and `rt`
/// as a development dependency.
#[macro_export]
macro_rules! conformance {
    (@names $how:ident $fixture:expr) => {
        $crate::conformance! { @$how $fixture;
            a_bucket_starts_full_and_holds_its_capacity
            tokens_come_back_one_by_one
            an_idle_bucket_holds_no_more_than_its_capacity
            the_wait_is_exact
            a_refusal_takes_nothing
            a_cost_above_the_capacity_never_fits
            a_cost_of_zero_takes_nothing
            all_or_nothing
            eight_charges_are_one_decision
            a_refusal_leaves_all_buckets_as_they_were
            the_same_bucket_twice_is_charged_twice
            a_peek_takes_nothing_and_decides_nothing
            a_shadow_takes_and_decides_nothing
            buckets_do_not_touch_each_other
            an_older_now_admits_no_more
            a_change_of_quota_keeps_what_is_owed
            a_smaller_bucket_owes_no_more_than_it_holds
            a_ceiling_keeps_a_large_bucket_from_being_filled_up_by_a_small_one
            at_the_same_time_no_more_than_the_capacity
            at_the_same_time_all_or_nothing
        }
    };
    (@each $fixture:expr; $($name:ident)*) => {
        $(
            #[::tokio::test]
            async fn $name() {
                let fixture = $fixture;
                $crate::store::conformance::$name(&fixture).await;
            }
        )*
    };
    (@all $fixture:expr; $($name:ident)*) => {
        #[::tokio::test]
        async fn the_whole_suite() {
            let fixture = $fixture;
            $($crate::store::conformance::$name(&fixture).await;)*
        }
    };
    (all on $fixture:expr) => {
        $crate::conformance! { @names all $fixture }
    };
    ($fixture:expr) => {
        $crate::conformance! { @names each $fixture }
    };
}

/// So slow that nothing comes back while a test runs.
const SLOW: Quota = Quota::per_day(1);

/// Fast enough to wait for, and slow enough to be asked in between.
const FAST: Quota = Quota::new(5, Duration::from_secs(1));

/// A bucket that no other test uses, on a shared backend either.
fn bucket() -> BucketId {
    let random = || u128::from(RandomState::new().hash_one(0));
    BucketId::from_u128(random() << 64 | random())
}

async fn decide(fixture: &dyn Fixture, charges: &[Charge]) -> Decision {
    let store = fixture.store();
    if let Some(decision) = store.try_decide(charges, fixture.now()) {
        return decision;
    }
    let charges = Charges::try_from(charges).expect("no more than eight");
    store
        .decide(charges, fixture.now())
        .await
        .expect("the store works")
}

/// Whether one token is admitted.
async fn takes(fixture: &dyn Fixture, bucket: BucketId, quota: Quota) -> bool {
    decide(fixture, &[Charge::new(bucket, quota, 1)])
        .await
        .is_admitted()
}

async fn remaining(fixture: &dyn Fixture, bucket: BucketId, quota: Quota) -> u32 {
    let peek = Charge::new(bucket, quota, 0).with_mode(Mode::Peek);
    decide(fixture, &[peek]).await.outcomes()[0].remaining()
}

/// Exactly the capacity can be taken at once, and what remains counts down.
pub async fn a_bucket_starts_full_and_holds_its_capacity(fixture: &dyn Fixture) {
    for capacity in [1, 2, 50] {
        let (bucket, quota) = (bucket(), SLOW.burst(capacity));
        assert_eq!(remaining(fixture, bucket, quota).await, capacity);
        for left in (0..capacity).rev() {
            let decision = decide(fixture, &[Charge::new(bucket, quota, 1)]).await;
            assert!(decision.is_admitted(), "refused with {} left", left + 1);
            assert_eq!(decision.is_degraded(), fixture.is_degraded());
            assert_eq!(decision.outcomes()[0].remaining(), left);
        }
        assert!(
            !takes(fixture, bucket, quota).await,
            "more than {capacity} at once"
        );
    }
}

/// One token comes back per interval, and not before.
pub async fn tokens_come_back_one_by_one(fixture: &dyn Fixture) {
    let bucket = bucket();
    let all = Charge::new(bucket, FAST, FAST.capacity());
    assert!(decide(fixture, &[all]).await.is_admitted());
    assert!(!takes(fixture, bucket, FAST).await);
    for _ in 0..3 {
        fixture.advance(FAST.interval()).await;
        assert!(
            takes(fixture, bucket, FAST).await,
            "nothing came back in an interval"
        );
        assert!(
            !takes(fixture, bucket, FAST).await,
            "two came back in an interval"
        );
    }
}

/// However long a bucket rests, it does not save up.
pub async fn an_idle_bucket_holds_no_more_than_its_capacity(fixture: &dyn Fixture) {
    let bucket = bucket();
    assert!(takes(fixture, bucket, FAST).await);
    fixture.advance(FAST.period() * 2).await;
    let all = Charge::new(bucket, FAST, FAST.capacity());
    assert!(decide(fixture, &[all]).await.is_admitted());
    assert!(!takes(fixture, bucket, FAST).await);
}

/// Whoever waits as told is let in.
pub async fn the_wait_is_exact(fixture: &dyn Fixture) {
    let bucket = bucket();
    let all = Charge::new(bucket, FAST, FAST.capacity());
    assert!(decide(fixture, &[all]).await.is_admitted());
    for cost in [1, 3, 2] {
        let charge = Charge::new(bucket, FAST, cost);
        let refused = decide(fixture, &[charge]).await;
        assert!(!refused.is_admitted());
        let wait = refused.outcomes()[0].retry_after().expect("waiting helps");
        assert!(
            wait <= FAST.interval() * cost,
            "the wait is too long: {wait:?}"
        );
        fixture.advance(wait).await;
        assert!(
            decide(fixture, &[charge]).await.is_admitted(),
            "the wait was too short"
        );
    }
}

/// What was there before a refusal is there behind it.
pub async fn a_refusal_takes_nothing(fixture: &dyn Fixture) {
    let (bucket, quota) = (bucket(), SLOW.burst(5));
    assert!(
        decide(fixture, &[Charge::new(bucket, quota, 2)])
            .await
            .is_admitted()
    );
    for _ in 0..10 {
        let refused = decide(fixture, &[Charge::new(bucket, quota, 4)]).await;
        assert!(!refused.is_admitted());
        assert_eq!(refused.outcomes()[0].remaining(), 3);
    }
    assert!(
        decide(fixture, &[Charge::new(bucket, quota, 3)])
            .await
            .is_admitted()
    );
}

/// A cost that can never fit says so, and no other does.
pub async fn a_cost_above_the_capacity_never_fits(fixture: &dyn Fixture) {
    let (bucket, quota) = (bucket(), SLOW.burst(5));
    for cost in [6, 1_000_000, u32::MAX] {
        let refused = decide(fixture, &[Charge::new(bucket, quota, cost)]).await;
        assert!(!refused.is_admitted());
        assert!(refused.outcomes()[0].is_never());
        assert_eq!(refused.outcomes()[0].retry_after(), None);
    }
    assert!(
        decide(fixture, &[Charge::new(bucket, quota, 5)])
            .await
            .is_admitted()
    );
    let refused = decide(fixture, &[Charge::new(bucket, quota, 5)]).await;
    assert!(!refused.outcomes()[0].is_never());
}

/// A cost of 0 fits an empty bucket too.
pub async fn a_cost_of_zero_takes_nothing(fixture: &dyn Fixture) {
    let (bucket, quota) = (bucket(), SLOW.burst(1));
    for left in [1, 0] {
        let decision = decide(fixture, &[Charge::new(bucket, quota, 0)]).await;
        assert!(decision.is_admitted());
        assert_eq!(decision.outcomes()[0].remaining(), left);
        assert_eq!(takes(fixture, bucket, quota).await, left == 1);
    }
}

/// One charge that does not fit keeps all the others from being taken, wherever it stands.
pub async fn all_or_nothing(fixture: &dyn Fixture) {
    let quota = SLOW.burst(3);
    let (full, empty, other) = (bucket(), bucket(), bucket());
    assert!(
        decide(fixture, &[Charge::new(empty, quota, 3)])
            .await
            .is_admitted()
    );
    let charge = |bucket| Charge::new(bucket, quota, 1);
    for order in [
        [full, empty, other],
        [empty, full, other],
        [other, full, empty],
    ] {
        let refused = decide(fixture, &order.map(charge)).await;
        assert!(!refused.is_admitted());
        for (bucket, outcome) in order.iter().zip(refused.outcomes()) {
            assert_eq!(
                outcome.is_allowed(),
                *bucket != empty,
                "the outcomes are out of order"
            );
        }
        assert_eq!(remaining(fixture, full, quota).await, 3);
        assert_eq!(remaining(fixture, other, quota).await, 3);
    }
    assert!(
        decide(fixture, &[full, other].map(charge))
            .await
            .is_admitted()
    );
    assert_eq!(remaining(fixture, full, quota).await, 2);
    assert_eq!(remaining(fixture, other, quota).await, 2);
}

/// The most charges that there may be.
pub async fn eight_charges_are_one_decision(fixture: &dyn Fixture) {
    let quota = SLOW.burst(2);
    let buckets: [BucketId; Charges::MAX] = std::array::from_fn(|_| bucket());
    let charges = buckets.map(|bucket| Charge::new(bucket, quota, 1));
    for admitted in [true, true, false] {
        let decision = decide(fixture, &charges).await;
        assert_eq!(decision.is_admitted(), admitted);
        assert_eq!(decision.outcomes().len(), charges.len());
    }
}

/// Buckets of every kind, one of them empty: after a refusal each owes what it did, but for what
/// came back meanwhile.
pub async fn a_refusal_leaves_all_buckets_as_they_were(fixture: &dyn Fixture) {
    let quotas = [FAST, SLOW.burst(9), FAST.burst(9), Quota::per_hour(3)];
    let buckets: [(BucketId, Quota); 7] =
        std::array::from_fn(|number| (bucket(), quotas[number % quotas.len()]));
    // Some full, some not, some that have gained a part of a token since.
    for (bucket, quota) in &buckets[2..] {
        assert!(takes(fixture, *bucket, *quota).await);
    }
    fixture.advance(FAST.interval() / 3).await;
    let empty = (bucket(), SLOW.burst(1));
    assert!(takes(fixture, empty.0, empty.1).await);

    let looks = buckets.map(|(bucket, quota)| Charge::new(bucket, quota, 0).with_mode(Mode::Peek));
    let mut before = decide(fixture, &looks).await;
    for cost in [1, 3, 2] {
        let mut charges = vec![Charge::new(empty.0, empty.1, 1)];
        for (number, (bucket, quota)) in buckets.iter().enumerate() {
            let mode = if number % 3 == 0 {
                Mode::Shadow
            } else {
                Mode::Enforce
            };
            charges.push(Charge::new(*bucket, *quota, cost).with_mode(mode));
        }
        let refused = decide(fixture, &charges).await;
        assert!(!refused.is_admitted());
        let after = decide(fixture, &looks).await;
        for (number, (before, after)) in before.outcomes().iter().zip(after.outcomes()).enumerate()
        {
            assert!(
                after.reset_after() <= before.reset_after()
                    && after.remaining() >= before.remaining(),
                "bucket {number} was charged: {before:?}, {after:?}"
            );
            let told = &refused.outcomes()[number + 1];
            assert!(
                !told.is_known() || told.remaining() == after.remaining(),
                "of bucket {number} is told {told:?}, and it is {after:?}"
            );
        }
        before = after;
    }
}

/// The costs of two charges of one bucket add up, and are taken together or not at all.
pub async fn the_same_bucket_twice_is_charged_twice(fixture: &dyn Fixture) {
    let (bucket, quota) = (bucket(), SLOW.burst(5));
    let charges = |a, b| [Charge::new(bucket, quota, a), Charge::new(bucket, quota, b)];
    assert!(!decide(fixture, &charges(3, 3)).await.is_admitted());
    assert_eq!(remaining(fixture, bucket, quota).await, 5);
    assert!(decide(fixture, &charges(3, 2)).await.is_admitted());
    assert_eq!(remaining(fixture, bucket, quota).await, 0);
}

/// Looking at a bucket, full or empty, is without consequence.
pub async fn a_peek_takes_nothing_and_decides_nothing(fixture: &dyn Fixture) {
    let (looked, quota) = (bucket(), SLOW.burst(1));
    let peek = Charge::new(looked, quota, 1).with_mode(Mode::Peek);
    for _ in 0..2 {
        let decision = decide(fixture, &[peek, Charge::new(bucket(), quota, 1)]).await;
        assert!(decision.is_admitted());
        assert!(decision.outcomes()[0].is_allowed(), "a peek took something");
    }
    assert!(takes(fixture, looked, quota).await);
    let decision = decide(fixture, &[peek]).await;
    assert!(decision.is_admitted(), "a peek decided");
    assert!(!decision.outcomes()[0].is_allowed());
}

/// A shadow is charged like the others, and refuses nobody.
pub async fn a_shadow_takes_and_decides_nothing(fixture: &dyn Fixture) {
    let (trial, enforced) = (bucket(), bucket());
    let shadow = Charge::new(trial, SLOW.burst(2), 1).with_mode(Mode::Shadow);
    let enforce = Charge::new(enforced, SLOW.burst(4), 1);
    for fits in [true, true, false, false] {
        let decision = decide(fixture, &[shadow, enforce]).await;
        assert!(decision.is_admitted(), "a shadow decided");
        assert_eq!(decision.outcomes()[0].is_allowed(), fits);
    }
    let other = Charge::new(bucket(), SLOW.burst(1), 1).with_mode(Mode::Shadow);
    assert!(!decide(fixture, &[other, enforce]).await.is_admitted());
    assert!(
        decide(fixture, &[other]).await.outcomes()[0].is_allowed(),
        "taken on a refusal"
    );
    assert!(
        decide(fixture, &[other]).await.is_admitted(),
        "a shadow decided alone"
    );
}

/// Emptying one bucket leaves the others full.
pub async fn buckets_do_not_touch_each_other(fixture: &dyn Fixture) {
    let quota = SLOW.burst(1);
    let buckets: [BucketId; 100] = std::array::from_fn(|_| bucket());
    for admitted in [true, false] {
        for bucket in buckets {
            assert_eq!(takes(fixture, bucket, quota).await, admitted);
        }
    }
}

/// A clock reading from before another charge does not undo it.
pub async fn an_older_now_admits_no_more(fixture: &dyn Fixture) {
    let bucket = bucket();
    let before = fixture.now();
    fixture.advance(Duration::from_millis(100)).await;
    let all = Charge::new(bucket, FAST, FAST.capacity());
    let one = Charge::new(bucket, FAST, 1);
    for (charge, now, admitted) in [(all, fixture.now(), true), (one, before, false)] {
        let store = fixture.store();
        let decision = match store.try_decide(&[charge], now) {
            Some(decision) => decision,
            None => store
                .decide(charge.into(), now)
                .await
                .expect("the store works"),
        };
        assert_eq!(decision.is_admitted(), admitted);
    }
}

/// Tokens that were taken stay taken, whatever the new rate and size.
pub async fn a_change_of_quota_keeps_what_is_owed(fixture: &dyn Fixture) {
    let bucket = bucket();
    let first = Charge::new(bucket, SLOW.burst(10), 4);
    assert!(decide(fixture, &[first]).await.is_admitted());
    for (quota, left) in [
        (Quota::per_day(3).burst(20), 16),
        (Quota::per_hour(2).burst(12), 8),
        (Quota::per_day(2).burst(5), 1),
    ] {
        let peek = Charge::new(bucket, quota, 0).with_mode(Mode::Peek);
        for charge in [peek, Charge::new(bucket, quota, 0), peek] {
            let decision = decide(fixture, &[charge]).await;
            assert_eq!(decision.outcomes()[0].remaining(), left, "{quota}");
        }
        let more = Charge::new(bucket, quota, left + 1);
        assert!(!decide(fixture, &[more]).await.is_admitted());
    }
    let last = Charge::new(bucket, Quota::per_day(2).burst(5), 1);
    assert!(decide(fixture, &[last]).await.is_admitted());
}

/// Whoever owes more than a new, smaller quota holds waits for that one only.
pub async fn a_smaller_bucket_owes_no_more_than_it_holds(fixture: &dyn Fixture) {
    let bucket = bucket();
    let large = Charge::new(bucket, SLOW.burst(100), 100);
    assert!(decide(fixture, &[large]).await.is_admitted());
    let refused = decide(fixture, &[Charge::new(bucket, FAST, 2)]).await;
    assert!(!refused.is_admitted());
    let wait = refused.outcomes()[0].retry_after().expect("waiting helps");
    assert!(
        wait <= FAST.interval() * 2,
        "the wait is too long: {wait:?}"
    );
    fixture.advance(wait).await;
    assert!(
        decide(fixture, &[Charge::new(bucket, FAST, 2)])
            .await
            .is_admitted(),
        "the wait was too short"
    );
}

/// Two quotas of one bucket at the same time, by turns: no more than the larger one holds.
pub async fn a_ceiling_keeps_a_large_bucket_from_being_filled_up_by_a_small_one(
    fixture: &dyn Fixture,
) {
    let bucket = bucket();
    let mut admitted = 0;
    for _ in 0..20 {
        for capacity in [10, 2] {
            let charge = Charge::new(bucket, SLOW.burst(capacity), 1).with_ceiling(10);
            admitted += u32::from(decide(fixture, &[charge]).await.is_admitted());
        }
    }
    assert_eq!(admitted, 10);
}

/// Many decisions at once, waiting and not, admit the capacity between them.
pub async fn at_the_same_time_no_more_than_the_capacity(fixture: &dyn Fixture) {
    let charge = Charge::new(bucket(), SLOW.burst(10), 1);
    let admitted = together((0..64).map(|_| {
        let (store, now) = (fixture.store(), fixture.now());
        async move {
            store
                .decide(charge.into(), now)
                .await
                .expect("the store works")
        }
    }))
    .await;
    assert_eq!(admitted, 10);
    assert!(!decide(fixture, &[charge]).await.is_admitted());
}

/// Lists that overlap, in opposite orders, at once: a bucket is charged by those admitted only.
pub async fn at_the_same_time_all_or_nothing(fixture: &dyn Fixture) {
    let (a, b, quota) = (bucket(), bucket(), SLOW.burst(10));
    let charges = [Charge::new(a, quota, 1), Charge::new(b, quota, 1)];
    let admitted = together((0..64).map(|number| {
        let (store, now) = (fixture.store(), fixture.now());
        let order = if number % 2 == 0 {
            [charges[0], charges[1]]
        } else {
            [charges[1], charges[0]]
        };
        let charges = Charges::try_from(&order[..]).expect("two");
        async move { store.decide(charges, now).await.expect("the store works") }
    }))
    .await;
    // Those who were refused only because others held what they did not get are admitted later. For
    // that, a token may be missing of what drained from a bucket meanwhile.
    let mut later = 0;
    while decide(fixture, &charges).await.is_admitted() {
        later += 1;
    }
    let missing = if fixture.is_one_step() {
        assert_eq!(later, 0, "{later} were refused without need");
        0
    } else {
        1
    };
    assert!(admitted + later <= 10, "{admitted} and {later} admitted");
    assert!(
        admitted + later + missing >= 10,
        "only {admitted} and {later} admitted"
    );
    for bucket in [a, b] {
        assert!(remaining(fixture, bucket, quota).await as usize <= missing);
    }
}

/// Polls all decisions side by side, and counts those that admit.
async fn together<F>(decisions: impl Iterator<Item = F>) -> usize
where
    F: Future<Output = Decision> + Send,
{
    let mut pending: Vec<Pin<Box<F>>> = decisions.map(Box::pin).collect();
    let mut admitted = 0;
    poll_fn(|cx| {
        pending.retain_mut(|decision| match decision.as_mut().poll(cx) {
            Poll::Pending => true,
            Poll::Ready(decision) => {
                admitted += usize::from(decision.is_admitted());
                false
            }
        });
        if pending.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    admitted
}
