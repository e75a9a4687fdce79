use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrayvec::ArrayVec;
use async_trait::async_trait;
use pm_core::Tick;
use pm_core::degrade::State;

use super::RateLimitStore;
use crate::algorithm::Gcra;
use crate::{BucketId, Charge, Charges, Decision, Error, Mode, Outcome, Quota};

/// Buckets that share a place in memory; the one that is of use for the shortest time is forgotten
/// first.
const WAYS: usize = 4;

/// Remembers which buckets another store has refused, so that asking again costs nothing until it
/// may help.
///
/// A refusal says when the bucket is full again. From that follows, for every cost, until when it
/// must be refused: others can only take more meanwhile. So a client that goes on asking is answered
/// here, at once, and never reaches the store. Under another quota what was remembered does not
/// count. What the other charges of such a decision would have been answered is [not
/// known](Outcome::is_known).
///
/// Of a bucket that is [leased](Charge::leased), a refusal is remembered for a second: what other
/// instances hold of it may be given back.
///
/// A store that takes and [gives back](RateLimitStore) makes the wait longer than it need be, for whoever
/// asked in between: by as long as what was held takes to come back.
///
/// It is for stores that take time to answer; [`MemoryStore`](super::MemoryStore) does not. Memory is
/// fixed from the start, and what does not fit is forgotten: then the store is asked. A
/// [`Fallback`](super::Fallback) belongs around it rather than within: what is remembered here is
/// refused in an outage, too, where each rule is to say what happens.
pub struct Refusals {
    store: Arc<dyn RateLimitStore>,
    sets: Box<[Mutex<[Known; WAYS]>]>,
    spared: AtomicU64,
}

/// A bucket that was refused.
#[derive(Clone, Copy)]
struct Known {
    bucket: BucketId,
    quota: Quota,
    /// When it is full again, in nanoseconds of the caller's clock. 0 if nothing is known.
    full_at: u64,
    /// Until when that is to be believed.
    until: u64,
}

/// How long a refusal of a leased bucket is remembered.
const LEASED: Duration = Duration::from_secs(1);

const NOTHING: Known = Known {
    bucket: BucketId::from_u128(0),
    quota: Quota::per_second(1),
    full_at: 0,
    until: 0,
};

impl Refusals {
    /// Remembers about `buckets` of what `store` refuses; 68 bytes for each, from the start.
    #[must_use]
    pub fn of(store: Arc<dyn RateLimitStore>, buckets: usize) -> Self {
        let sets = buckets.div_ceil(WAYS).max(1);
        Self {
            store,
            sets: (0..sets).map(|_| Mutex::new([NOTHING; WAYS])).collect(),
            spared: AtomicU64::new(0),
        }
    }

    /// How many decisions were refused without asking the store.
    #[must_use]
    pub fn spared(&self) -> u64 {
        self.spared.load(Ordering::Relaxed)
    }

    /// The refusal, if there is no need to ask.
    fn refuse(&self, charges: &[Charge], now: Tick) -> Option<Decision> {
        // Whoever looks wants to see what is there.
        if charges.iter().any(|charge| charge.mode() == Mode::Peek) {
            return None;
        }
        let mut refused = false;
        let outcomes: ArrayVec<Outcome, { Charges::MAX }> = charges
            .iter()
            .map(|charge| {
                let outcome = self.known(charge, now);
                refused |= charge.mode() == Mode::Enforce && !outcome.is_allowed();
                outcome
            })
            .collect();
        refused.then(|| {
            self.spared.fetch_add(1, Ordering::Relaxed);
            Decision::refused(outcomes)
        })
    }

    fn known(&self, charge: &Charge, now: Tick) -> Outcome {
        let known = self.with_set(charge.bucket(), |set| {
            let mut known = set.iter().filter(|known| known.is(charge));
            let known = known.find(|known| known.until > now.as_nanos());
            known.map(|known| known.full_at)
        });
        known
            .map(|word| Gcra::new(charge.quota()).look(word, now, charge.cost()))
            .filter(|outcome| !outcome.is_allowed())
            .unwrap_or_else(Outcome::unknown)
    }

    /// `now` is from before the store was asked, so that what is remembered ends rather too early.
    fn remember(&self, charges: &[Charge], decision: &Decision, now: Tick) {
        // What a fallback refuses says nothing about the store.
        if decision.is_degraded() {
            return;
        }
        // Of a bucket that is named twice, the second outcome is as if the first were taken.
        let buckets = charges.iter().map(Charge::bucket);
        for (at, (charge, outcome)) in charges.iter().zip(decision.outcomes()).enumerate() {
            let twice = buckets
                .clone()
                .take(at)
                .any(|bucket| bucket == charge.bucket());
            if charge.mode() != Mode::Peek && outcome.is_known() && !twice {
                let full_at = now.as_nanos().saturating_add(outcome.reset_nanos());
                let word = Known::of(charge, full_at, now);
                self.with_set(charge.bucket(), |set| {
                    update(set, charge, word, outcome.retry_after().is_some());
                });
            }
        }
    }

    /// The lock is held for a look at four entries.
    fn with_set<T>(&self, bucket: BucketId, work: impl FnOnce(&mut [Known; WAYS]) -> T) -> T {
        let set = &self.sets[bucket.place(self.sets.len())];
        work(&mut set.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is known is kept up to date by what is admitted, and begins with a refusal. Under another
/// quota it was another word.
fn update(set: &mut [Known; WAYS], charge: &Charge, latest: Known, refused: bool) {
    for known in set.iter_mut() {
        if known.bucket == latest.bucket && known.quota != latest.quota {
            *known = NOTHING;
        }
    }
    match set.iter_mut().find(|known| known.is(charge)) {
        // What is leased is given back: what was known before may be too much.
        Some(known) if charge.slice() > 0 => *known = latest,
        // The answers of a store may overtake each other.
        Some(known) => known.full_at = known.full_at.max(latest.full_at),
        None if refused => {
            let ends = |known: &&mut Known| known.full_at.min(known.until);
            if let Some(known) = set.iter_mut().min_by_key(ends) {
                *known = latest;
            }
        }
        None => {}
    }
}

impl Known {
    fn of(charge: &Charge, full_at: u64, now: Tick) -> Self {
        let until = match charge.slice() {
            0 => Tick::from_nanos(u64::MAX),
            _ => now + LEASED,
        };
        Self {
            bucket: charge.bucket(),
            quota: *charge.quota(),
            full_at,
            until: until.as_nanos(),
        }
    }

    fn is(&self, charge: &Charge) -> bool {
        self.full_at > 0 && self.bucket == charge.bucket() && self.quota == *charge.quota()
    }
}

#[async_trait]
impl RateLimitStore for Refusals {
    fn try_decide(&self, charges: &[Charge], now: Tick) -> Option<Decision> {
        if let Some(refused) = self.refuse(charges, now) {
            return Some(refused);
        }
        let decision = self.store.try_decide(charges, now)?;
        self.remember(charges, &decision, now);
        Some(decision)
    }

    async fn decide(self: Arc<Self>, charges: Charges, now: Tick) -> Result<Decision, Error> {
        if let Some(refused) = self.refuse(charges.as_slice(), now) {
            return Ok(refused);
        }
        let decision = Arc::clone(&self.store).decide(charges.clone(), now).await?;
        self.remember(charges.as_slice(), &decision, now);
        Ok(decision)
    }

    fn state(&self) -> State {
        self.store.state()
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusals")
            .field("store", &self.store)
            .field("spared", &self.spared())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(pm_loom)))]
mod tests {
    use std::time::Duration;

    use pm_core::{Clock, ManualTime};

    use super::*;
    use crate::MemoryStore;
    use crate::store::conformance::Fixture;

    struct Setup {
        store: Arc<Refusals>,
        clock: Clock,
        time: ManualTime,
    }

    impl Setup {
        fn new() -> Self {
            let (clock, time) = Clock::manual();
            let memory = Arc::new(MemoryStore::bounded(1_000));
            Self {
                store: Arc::new(Refusals::of(memory, 1_000)),
                clock,
                time,
            }
        }
    }

    #[async_trait]
    impl Fixture for Setup {
        fn store(&self) -> Arc<dyn RateLimitStore> {
            self.store.clone()
        }

        fn now(&self) -> Tick {
            self.clock.now()
        }

        async fn advance(&self, by: Duration) {
            self.time.advance(by);
        }
    }

    mod conformance {
        crate::conformance!(super::Setup::new());
    }

    /// Counts how often it is asked.
    #[derive(Debug)]
    struct Counting(MemoryStore, AtomicU64);

    #[async_trait]
    impl RateLimitStore for Counting {
        fn try_decide(&self, charges: &[Charge], now: Tick) -> Option<Decision> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.try_decide(charges, now)
        }

        async fn decide(self: Arc<Self>, charges: Charges, now: Tick) -> Result<Decision, Error> {
            Ok(self.try_decide(charges.as_slice(), now).expect("memory"))
        }
    }

    #[test]
    fn whoever_is_refused_costs_no_question_until_it_may_help() {
        let counting = Arc::new(Counting(MemoryStore::bounded(10), AtomicU64::new(0)));
        let refusals = Refusals::of(counting.clone(), 10);
        let quota = Quota::per_second(10).burst(4);
        let bucket = BucketId::from_u128(7);
        let ask = |cost, millis: u64| {
            let now = Tick::from_nanos(millis * 1_000_000);
            let charge = Charge::new(bucket, quota, cost);
            refusals.try_decide(&[charge], now).expect("it never waits")
        };
        assert!(ask(4, 0).is_admitted());
        assert!(!ask(1, 0).is_admitted());
        assert_eq!(counting.1.load(Ordering::Relaxed), 2);
        for millis in 0..100 {
            for cost in [1, 2, 4] {
                let refused = ask(cost, millis);
                assert!(!refused.is_admitted());
                let wait = Duration::from_millis(u64::from(cost) * 100 - millis);
                assert_eq!(refused.outcomes()[0].retry_after(), Some(wait));
            }
        }
        assert_eq!(counting.1.load(Ordering::Relaxed), 2);
        assert_eq!(refusals.spared(), 300);
        assert!(!ask(2, 100).is_admitted(), "known without asking, too");
        assert_eq!(counting.1.load(Ordering::Relaxed), 2);
        assert!(ask(1, 100).is_admitted());
    }

    /// A regression would keep a caller out for as long as the bucket takes to fill up, though another
    /// instance has given back what it held.
    #[test]
    fn of_a_leased_bucket_a_refusal_is_believed_for_a_second() {
        let counting = Arc::new(Counting(MemoryStore::bounded(10), AtomicU64::new(0)));
        let refusals = Refusals::of(counting.clone(), 10);
        let charge = Charge::new(BucketId::from_u128(7), Quota::per_day(1), 1).leased(1);
        let asked = |millis: u64| {
            let now = Tick::from_nanos(millis * 1_000_000);
            let _ = refusals.try_decide(&[charge], now);
            counting.1.load(Ordering::Relaxed)
        };
        assert_eq!(
            [0, 0, 999, 1_000, 1_999, 2_000].map(asked),
            [1, 2, 2, 3, 3, 4]
        );
    }

    /// A regression would forget refusals that hold for a day, and keep one that nobody believes any more.
    #[test]
    fn what_is_of_no_use_any_more_is_forgotten_first() {
        let counting = Arc::new(Counting(MemoryStore::bounded(100), AtomicU64::new(0)));
        let refusals = Refusals::of(counting.clone(), WAYS);
        let asked = |charge: Charge, seconds: u64| {
            let before = counting.1.load(Ordering::Relaxed);
            let now = Tick::from_nanos(seconds * 1_000_000_000);
            let _ = refusals.try_decide(&[charge], now);
            counting.1.load(Ordering::Relaxed) - before
        };
        let hourly = |number| {
            let quota = Quota::new(1, Duration::from_secs(3_600));
            Charge::new(BucketId::from_u128(number), quota, 1)
        };
        let leased = Charge::new(BucketId::from_u128(1), Quota::per_day(1), 1).leased(1);
        for charge in [leased, hourly(2), hourly(3), hourly(4)] {
            assert_eq!([0, 0, 0].map(|at| asked(charge, at)), [1, 1, 0]);
        }
        assert_eq!([2, 2, 2].map(|at| asked(hourly(5), at)), [1, 1, 0]);
        for number in 2..=5 {
            assert_eq!(asked(hourly(number), 2), 0, "{number} is known");
        }
    }

    #[test]
    fn other_quotas_and_other_buckets_are_asked_about() {
        let counting = Arc::new(Counting(MemoryStore::bounded(10), AtomicU64::new(0)));
        let refusals = Refusals::of(counting.clone(), 1);
        let quota = Quota::per_day(1);
        let ask = |bucket, quota| {
            let charge = Charge::new(BucketId::from_u128(bucket), quota, 1);
            refusals
                .try_decide(&[charge], Tick::ZERO)
                .expect("it never waits")
                .is_admitted()
        };
        assert!(ask(1, quota));
        assert!(!ask(1, quota));
        assert!(ask(1, quota.burst(5)), "a larger quota counts at once");
        assert!(ask(2, quota));
        assert_eq!(refusals.spared(), 0);
    }
}
