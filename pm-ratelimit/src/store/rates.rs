//! The rate that is allowed over time, against the one that a quota names.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pm_core::{Clock, ManualTime, Tick};

use super::conformance::Fixture;
use super::{MemoryStore, RateLimitStore};
use crate::{BucketId, Charge, Charges, Decision, Mode, Quota};

/// Takes whatever there is for a long time, and compares. One promise, for rates that divide nothing.
///
/// It is not in the suite because it needs a clock that is moved: the slowest takes a month.
pub(super) async fn are_those_of_the_quota(fixture: &dyn Fixture) {
    const BURST: u32 = 1_000_000;
    let rates = [1, 3, 7, 60, 300, 700, 997, 1_000];
    let high = [1_001, 1_500, 5_000, 77_777, 333_333, 999_999, 1_000_000];
    for per_second in rates.into_iter().chain(high) {
        let quota = Quota::per_second(per_second).burst(BURST);
        let bucket = BucketId::from_u128(u128::from(per_second) << 64 | 7);
        let take = async |cost| {
            let charges = Charges::from(Charge::new(bucket, quota, cost));
            decide(fixture, charges).await.is_admitted()
        };
        assert!(take(BURST).await);
        let began = fixture.now();
        let mut taken = 0;
        for _ in 0..3 {
            let most = f64::from(BURST) * 0.9 / f64::from(per_second);
            fixture.advance(Duration::from_secs_f64(most)).await;
            let look = Charge::new(bucket, quota, 0).with_mode(Mode::Peek);
            let there = decide(fixture, look.into()).await.outcomes()[0].remaining();
            assert!(take(there).await);
            assert!(!take(1).await);
            taken += there;
        }
        let time = fixture.now().saturating_duration_since(began).as_secs_f64();
        // Tokens are whole: the next one may be almost there.
        let (taken, promised) = (f64::from(taken), time * f64::from(per_second));
        let off = if per_second <= 1_000 { 1e-6 } else { 1e-3 };
        assert!(
            taken <= promised * (1.0 + 1e-12),
            "{taken} of {promised} at {quota}"
        );
        assert!(
            taken + 1.0 > promised * (1.0 - off),
            "{taken} of {promised} at {quota}"
        );
    }
}

async fn decide(fixture: &dyn Fixture, charges: Charges) -> Decision {
    let decided = fixture.store().decide(charges, fixture.now()).await;
    decided.expect("the store works")
}

struct Memory(Arc<MemoryStore>, Clock, ManualTime);

#[async_trait]
impl Fixture for Memory {
    fn store(&self) -> Arc<dyn RateLimitStore> {
        self.0.clone()
    }

    fn now(&self) -> Tick {
        self.1.now()
    }

    async fn advance(&self, by: Duration) {
        self.2.advance(by);
    }
}

#[tokio::test]
async fn allowed_rates_in_memory_are_those_of_the_quota() {
    let (clock, time) = Clock::manual();
    let store = Arc::new(MemoryStore::bounded(100));
    are_those_of_the_quota(&Memory(store, clock, time)).await;
}
