mod local;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrayvec::ArrayVec;
use async_trait::async_trait;
use pm_core::Tick;
use pm_core::degrade::State;

use super::RateLimitStore;
use crate::complaints::Complaints;
use crate::{Charge, Charges, Decision, Error, Mode, OnFailure, Outcome};

pub use self::local::LocalStore;

/// A store that goes on deciding, from memory, while the one that it prefers cannot.
///
/// It asks `Primary`, and where that fails, `Local`: for the very request that the primary failed
/// to decide on, and for all that come while it is [down](RateLimitStore::state), which are answered
/// at once, without waiting and without a future. What the primary admits without asking anybody (by
/// tokens that it has leased) it admits then, too; what it remembers to have refused does not count.
/// No request is used to find out whether the primary is back: its own switch says so. So nothing here
/// fails, and nobody waits for longer than the primary's deadline.
///
/// ```no_run
/// use pm_core::redis::{Endpoint, Options, Redis};
/// use pm_ratelimit::{By, Fallback, Limiter, MemoryStore, Quota, RedisStore, Rule, Rules};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let rules = Rules::new().rule("user", Rule::always().by(By::User).quota(Quota::per_minute(300)));
/// let redis = Redis::connect(Endpoint::single("redis://127.0.0.1/")?, Options::new()).await?;
/// let store = Fallback::new(RedisStore::new(redis), MemoryStore::bounded(1_000_000)).replicas(3);
/// let limiter = Limiter::builder(rules).store(store).build()?;
/// # Ok(())
/// # }
/// ```
///
/// * **Warm.** All that the primary answers to this instance is [mirrored](LocalStore::mirror): a
///   bucket here is full no earlier than it would have been there. Losing the primary gives nobody a
///   fresh burst where it was seen, and what is mirrored only ever makes it stricter. An instance that
///   never saw a bucket begins with its share, full.
/// * **A share.** Replicas cannot see each other then. Each gives out its part of every quota: the
///   rate and the burst divided by the number of [replicas](Self::replicas). The burst of a share is
///   at least 1, and as large as the cost at hand if the whole quota has room for that: such a
///   request waits for a full bucket, but is never told that it cannot fit.
/// * **By the rule.** What is [local](OnFailure::Local) is decided here. What is
///   [open](OnFailure::Open) is admitted without being looked at. One enforced charge that is
///   [closed](OnFailure::Closed) refuses the whole decision, and [says so](Outcome::closed).
/// * **Told.** Such decisions are [degraded](Decision::is_degraded), and counted in
///   [`stats`](Self::stats). The primary's switch logs one line in each direction. A failure that it
///   does not take for an outage is logged at most once a minute.
///
/// In an outage of *T* seconds *n* instances admit up to *n* ÷ replicas × (burst + rate × *T*) from
/// a bucket, as long as no share is rounded up. What they admit the primary does not learn. When it
/// is back it gives out what it would have if nobody had asked meanwhile: up to a burst, once. A
/// call that failed may have been taken by the primary, too; that makes it stricter.
///
/// A list of charges is one decision here as well. If the answers of the primary overtake each
/// other, or a mirrored moment was reckoned from before the question travelled, a bucket here is
/// fuller than it should be by what comes back in one round trip.
pub struct Fallback<Primary, Local> {
    primary: Arc<Primary>,
    local: Local,
    replicas: NonZeroU32,
    complaints: Complaints,
    degraded: AtomicU64,
    failed: AtomicU64,
}

/// What a [`Fallback`] has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FallbackStats {
    /// Decisions that the primary did not make.
    pub degraded: u64,
    /// How many of those it was asked for, and failed to make. It may have taken the charges all the
    /// same.
    pub failed: u64,
}

impl<Primary: RateLimitStore, Local: LocalStore> Fallback<Primary, Local> {
    /// Decides by `primary`, and without it by `local`, which gives out whole quotas unless there
    /// are several [replicas](Self::replicas).
    #[must_use]
    pub fn new(primary: Primary, local: Local) -> Self {
        Self {
            primary: Arc::new(primary),
            local,
            replicas: NonZeroU32::MIN,
            complaints: Complaints::default(),
            degraded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// So many instances share the primary, this one included: without it each gives out that part of
    /// the quotas.
    ///
    /// # Panics
    ///
    /// If `instances` is 0.
    #[must_use]
    #[track_caller]
    pub fn replicas(mut self, instances: u32) -> Self {
        let Some(replicas) = NonZeroU32::new(instances) else {
            panic!("there is at least one replica, this one");
        };
        self.replicas = replicas;
        self
    }

    /// The store that is preferred.
    #[must_use]
    pub fn primary(&self) -> &Primary {
        &self.primary
    }

    /// The store that decides without it.
    #[must_use]
    pub const fn local(&self) -> &Local {
        &self.local
    }

    /// What has been counted.
    #[must_use]
    pub fn stats(&self) -> FallbackStats {
        FallbackStats {
            degraded: self.degraded.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// Decides without the primary.
    fn stand_in(&self, charges: &[Charge], now: Tick) -> Decision {
        self.degraded.fetch_add(1, Ordering::Relaxed);
        let is_closed = |charge: &Charge| {
            charge.mode() == Mode::Enforce && charge.on_failure() == OnFailure::Closed
        };
        if charges.iter().any(is_closed) {
            let outcomes = charges.iter().map(|charge| match is_closed(charge) {
                true => Outcome::closed(),
                false => Outcome::unknown(),
            });
            return Decision::refused(outcomes).with_degraded();
        }
        let is_local = |charge: &&Charge| charge.on_failure() == OnFailure::Local;
        let shares: ArrayVec<Charge, { Charges::MAX }> = charges
            .iter()
            .filter(is_local)
            .map(|charge| charge.share(self.replicas))
            .collect();
        let decision = self.local.decide_locally(&shares, now);
        let mut decided = decision.outcomes().iter();
        let outcomes = charges.iter().map(|charge| {
            let outcome = is_local(&charge).then(|| decided.next().copied()).flatten();
            outcome.unwrap_or_else(Outcome::unknown)
        });
        let whole = if decision.is_admitted() {
            Decision::admitted(outcomes)
        } else {
            Decision::refused(outcomes)
        };
        whole.with_degraded()
    }

    /// Lets the local store know what the primary has decided. `now` is from before it was asked.
    fn mirror(&self, charges: &[Charge], decision: &Decision, now: Tick) {
        for (at, (charge, outcome)) in charges.iter().zip(decision.outcomes()).enumerate() {
            // Of a bucket that is named twice, the second outcome is as if the first were taken.
            let mut earlier = charges.iter().take(at).map(Charge::bucket);
            let twice = earlier.any(|bucket| bucket == charge.bucket());
            // Who peeks does not put the bucket under the quota that it peeks with.
            if charge.mode() == Mode::Peek
                || !outcome.is_known()
                || twice && !decision.is_admitted()
            {
                continue;
            }
            // More than there can be debt only says that the primary's clock has stepped back.
            let most = charge
                .quota()
                .interval_nanos()
                .saturating_mul(charge.ceiling().into());
            // The moment is that of the whole quota, for the share is as full as the whole.
            let owed = outcome.reset_nanos().min(most);
            if owed > 0 {
                let full_at = now + Duration::from_nanos(owed);
                self.local
                    .mirror(&charge.share(self.replicas), full_at, now);
            }
        }
    }
}

#[async_trait]
impl<Primary: RateLimitStore, Local: LocalStore> RateLimitStore for Fallback<Primary, Local> {
    fn try_decide(&self, charges: &[Charge], now: Tick) -> Option<Decision> {
        let is_down = self.primary.state() == State::Down;
        // What it remembers to have refused is not for it to say then, but for each rule.
        if let Some(decision) = self.primary.try_decide(charges, now)
            && (!is_down || decision.is_admitted())
        {
            self.mirror(charges, &decision, now);
            return Some(decision);
        }
        is_down.then(|| self.stand_in(charges, now))
    }

    /// Cancel-safe as far as the primary is.
    ///
    /// # Errors
    ///
    /// None.
    async fn decide(self: Arc<Self>, charges: Charges, now: Tick) -> Result<Decision, Error> {
        let asked = charges.as_slice();
        // It may have gone down since it was found to need time.
        if self.primary.state() == State::Down {
            return Ok(self.stand_in(asked, now));
        }
        let primary = Arc::clone(&self.primary);
        match primary.decide(charges.clone(), now).await {
            Ok(decision) => {
                self.mirror(asked, &decision, now);
                Ok(decision)
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.complaints
                    .hear_of_store(&error, self.primary.state(), now);
                Ok(self.stand_in(asked, now))
            }
        }
    }
}

impl<Primary: fmt::Debug, Local: fmt::Debug> fmt::Debug for Fallback<Primary, Local> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("primary", &self.primary)
            .field("local", &self.local)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(pm_loom)))]
mod tests;
