//! A store of one's own: exact fractions of tokens in one map behind one lock. It is slower than
//! `MemoryStore` and forgets nothing, but what it must do it does, as the suite shows.
//!
//! Run with `cargo run -p pm-ratelimit --example own_store`, and the suite with
//! `cargo test -p pm-ratelimit --example own_store --features conformance`

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pm_core::Tick;
use pm_ratelimit::algorithm::Gcra;
use pm_ratelimit::{
    BucketId, Charge, Charges, Decision, Error, Limiter, Mode, Outcome, Quota, RateLimitStore,
    Subject,
};

/// What is known of a bucket: when it is full again, under which quota, with which ceiling.
#[derive(Clone, Copy)]
struct Bucket {
    full_at: u64,
    quota: Quota,
    ceiling: u32,
}

#[derive(Default)]
struct MapStore(Mutex<HashMap<BucketId, Bucket>>);

impl MapStore {
    fn decide_now(&self, charges: &[Charge], now: Tick) -> Decision {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outcomes = Vec::new();
        // All or nothing: on a copy first.
        let mut next = buckets.clone();
        let mut admitted = true;
        for charge in charges {
            let mut bucket = under(charge, buckets.get(&charge.bucket()).copied(), now);
            if charge.mode() != Mode::Peek {
                // A change of quota is made by whoever comes with it, admitted or not.
                buckets.insert(charge.bucket(), bucket);
            }
            if let Some(changed) = next.get(&charge.bucket()) {
                bucket = under(charge, Some(*changed), now);
            }
            let gcra = Gcra::new(charge.quota());
            outcomes.push(match charge.mode() {
                Mode::Peek => gcra.look(bucket.full_at, now, charge.cost()),
                mode => match gcra.take(bucket.full_at, now, charge.cost()) {
                    Ok(taken) => {
                        bucket.full_at = taken.word;
                        next.insert(charge.bucket(), bucket);
                        taken.outcome
                    }
                    Err(refused) => {
                        admitted &= mode != Mode::Enforce;
                        refused
                    }
                },
            });
        }
        if admitted {
            *buckets = next;
            return Decision::admitted(outcomes);
        }
        // Nothing was taken, so what remains is what was there.
        let looked = charges.iter().zip(outcomes).map(|(charge, outcome)| {
            if outcome.is_allowed() {
                let bucket = under(charge, buckets.get(&charge.bucket()).copied(), now);
                Gcra::new(charge.quota()).look(bucket.full_at, now, charge.cost())
            } else {
                outcome
            }
        });
        let looked: Vec<Outcome> = looked.collect();
        Decision::refused(looked)
    }
}

/// The bucket under the quota of the charge: its debt in tokens stays, up to a lower ceiling.
fn under(charge: &Charge, bucket: Option<Bucket>, now: Tick) -> Bucket {
    let mut found = bucket.unwrap_or(Bucket {
        full_at: 0,
        quota: *charge.quota(),
        ceiling: charge.ceiling(),
    });
    if found.quota != *charge.quota() || found.ceiling != charge.ceiling() {
        let debt = u128::from(found.full_at.saturating_sub(now.as_nanos()));
        let interval = charge.quota().interval().as_nanos();
        let mut debt = (debt * interval).div_ceil(found.quota.interval().as_nanos());
        if charge.ceiling() < found.ceiling {
            debt = debt.min(interval * u128::from(charge.ceiling()));
        }
        found = Bucket {
            full_at: now.as_nanos() + u64::try_from(debt).unwrap_or(u64::MAX / 2),
            quota: *charge.quota(),
            ceiling: charge.ceiling(),
        };
    }
    found
}

#[async_trait]
impl RateLimitStore for MapStore {
    fn try_decide(&self, charges: &[Charge], now: Tick) -> Option<Decision> {
        Some(self.decide_now(charges, now))
    }

    async fn decide(self: Arc<Self>, charges: Charges, now: Tick) -> Result<Decision, Error> {
        Ok(self.decide_now(charges.as_slice(), now))
    }
}

impl std::fmt::Debug for MapStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MapStore").finish_non_exhaustive()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let limiter = Limiter::in_store(Arc::new(MapStore::default()), Quota::per_minute(3));
    let mut out = std::io::stdout().lock();
    for number in 1..=4 {
        let verdict = limiter.check(&Subject::user("ada"), 1).await;
        writeln!(out, "{number}: {}", verdict.is_allowed())?;
    }
    Ok(())
}

#[cfg(all(test, feature = "conformance"))]
mod tests {
    use std::time::Duration;

    use pm_core::{Clock, ManualTime};
    use pm_ratelimit::store::conformance::Fixture;

    use super::*;

    struct Setup {
        store: Arc<MapStore>,
        clock: Clock,
        time: ManualTime,
    }

    impl Setup {
        fn new() -> Self {
            let (clock, time) = Clock::manual();
            let store = Arc::default();
            Self { store, clock, time }
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

    pm_ratelimit::conformance!(Setup::new());
}
