//! Ours and the peers, each as its users would set it up, with a limit that nobody reaches.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum_gcra::gcra;
use governor::DefaultKeyedRateLimiter;
use limitador::RateLimiter;
use limitador::limit::{Limit, Namespace};
use pm_core::Clock;
use pm_ratelimit::{Limiter, MemoryStore, Quota};

use super::zipf::KEYS;

/// As fast and as large as can be written, so that no bucket runs empty.
pub(super) const GENEROUS: Quota = Quota::per_second(1_000_000).burst(u32::MAX);

/// One rule by whoever calls, on the clock that governor has, too.
pub(super) fn ours() -> Limiter {
    let store = Arc::new(MemoryStore::bounded(KEYS as usize));
    Limiter::in_store(store, GENEROUS).with_clock(Clock::counter())
}

pub(super) fn governor() -> DefaultKeyedRateLimiter<u64> {
    let rate = NonZeroU32::new(1_000_000).expect("it is not 0");
    let quota = governor::Quota::per_second(rate).allow_burst(NonZeroU32::MAX);
    DefaultKeyedRateLimiter::keyed(quota)
}

/// Its limiter without its layer, at the same quota.
pub(super) struct AxumGcra {
    limiter: gcra::RateLimiter<u64>,
    quota: gcra::Quota,
}

impl AxumGcra {
    pub(super) fn new() -> Self {
        Self {
            // It collects what is full again by going over all there is: not while we look.
            limiter: gcra::RateLimiter::new(u64::MAX, Default::default()),
            quota: axum_gcra_quota(),
        }
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "it takes the time from its caller, who has to ask for it"
    )]
    pub(super) fn check(&self, key: u64) -> bool {
        (self.limiter)
            .req_sync(key, self.quota, Instant::now())
            .is_ok()
    }
}

pub(super) fn axum_gcra_quota() -> gcra::Quota {
    let burst = u64::from(u32::MAX).try_into().expect("it is not 0");
    gcra::Quota::new(Duration::from_micros(1), burst)
}

/// One limit by one variable, for which it takes a text.
pub(super) struct Limitador {
    limiter: RateLimiter,
    namespace: Namespace,
}

impl Limitador {
    pub(super) fn new() -> Self {
        let limiter = RateLimiter::new(2 * KEYS);
        let variable = "user".try_into().expect("a variable");
        limiter.add_limit(Limit::new("bench", u64::MAX, 3_600, [], [variable]));
        Self {
            limiter,
            namespace: "bench".into(),
        }
    }

    pub(super) fn check(&self, key: u64) -> bool {
        let values = HashMap::from([("user".to_owned(), key.to_string())]);
        let checked =
            (self.limiter).check_rate_limited_and_update(&self.namespace, &values.into(), 1);
        checked.is_ok_and(|result| !result.limited)
    }
}
