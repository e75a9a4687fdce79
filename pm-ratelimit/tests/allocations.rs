//! A decision that needs no waiting allocates nothing.

use std::net::IpAddr;
use std::sync::Arc;

use pm_core::{Clock, Tick};
use pm_ratelimit::{
    BucketId, Charge, Charges, Limiter, MemoryStore, Quota, RateLimitStore, Subject,
};

#[test]
fn a_check_allocates_nothing_whatever_its_answer() {
    let limiter = Limiter::new(Quota::per_minute(60).burst(2)).with_clock(Clock::system());
    let addr: IpAddr = [192, 0, 2, 1].into();
    let info = allocation_counter::measure(|| {
        for cost in [1, 1, 1, 3] {
            assert!(limiter.try_check(&Subject::at(addr), cost).is_some());
        }
        for number in 0..1_000 {
            assert!(
                limiter
                    .try_check(&Subject::new().connection(number), 1)
                    .is_some()
            );
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn eight_charges_allocate_nothing() {
    let store = Arc::new(MemoryStore::bounded(100));
    let charges: [Charge; Charges::MAX] = std::array::from_fn(|bucket| {
        Charge::new(BucketId::from_u128(bucket as u128), Quota::per_day(2), 1)
    });
    let info = allocation_counter::measure(|| {
        for admitted in [true, true, false] {
            let decision = store
                .try_decide(&charges, Tick::ZERO)
                .expect("it never waits");
            assert_eq!(decision.is_admitted(), admitted);
        }
    });
    assert_eq!(info.count_total, 0);
}
