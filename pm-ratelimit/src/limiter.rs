use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderValue;
use pm_core::Clock;

use crate::key::Digest;
use crate::{
    Allowed, Charge, Charges, Decision, Error, MemoryStore, Never, PolicyName, Quota,
    RateLimitStore, Refused, Subject, Verdict, headers,
};

/// Decides who may do how much: a handle that is cheap to clone and has no type parameters.
///
/// Clones share the buckets. The [layer](crate::RateLimitLayer) is made from one; anything that is
/// not an HTTP request, such as a WebSocket frame, asks it directly:
///
/// ```
/// use pm_ratelimit::{Limiter, Quota, Subject, Verdict};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let frames = Limiter::new(Quota::per_second(20).burst(40));
/// match frames.check(&Subject::connection(7), 1).await {
///     Verdict::Allowed(allowed) => println!("{} left", allowed.remaining()),
///     Verdict::Refused(refused) => println!("wait {:?}", refused.retry_after()),
///     Verdict::Never(never) => println!("at most {} at once", never.capacity()),
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Limiter(Arc<Settings>);

#[derive(Clone)]
struct Settings {
    name: PolicyName,
    quota: Quota,
    store: Arc<dyn RateLimitStore>,
    clock: Clock,
    on_failure: OnFailure,
    digest: Digest,
    /// `RateLimit-Policy`, which is the same on every response.
    policy: HeaderValue,
}

/// What a limiter answers when its store does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnFailure {
    /// No: what the limit protects is worth more than being available.
    Closed,
    /// Yes: being available is worth more than the limit.
    #[default]
    Open,
}

/// A decision that is waited for. It owns all it needs, so that it can outlive the request.
pub(crate) type PendingDecision =
    Pin<Box<dyn Future<Output = Result<Decision, Error>> + Send + 'static>>;

impl Limiter {
    /// A limiter with buckets of its own, in memory: room for 100,000 of them at a time, which
    /// takes 3.3 MB. A bucket that is full again needs no room.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self::in_store(Arc::new(MemoryStore::bounded(100_000)), quota)
    }

    /// A limiter whose buckets are in `store`, which it may share with other limiters: their
    /// buckets stay apart.
    #[must_use]
    pub fn in_store(store: Arc<dyn RateLimitStore>, quota: Quota) -> Self {
        let name = PolicyName::from_static("default");
        Self(Arc::new(Settings {
            digest: Digest::random(&name),
            policy: headers::policy(&name, &quota),
            name,
            quota,
            store,
            clock: Clock::system(),
            on_failure: OnFailure::default(),
        }))
    }

    /// The same limiter under this name, which appears in headers and problems. It starts with
    /// full buckets.
    ///
    /// Without it, the name is `default`.
    #[must_use]
    pub fn with_name(self, name: PolicyName) -> Self {
        self.with(|settings| {
            settings.digest = Digest::random(&name);
            settings.policy = headers::policy(&name, &settings.quota);
            settings.name = name;
        })
    }

    /// The same limiter on another clock. All limiters that share a store need the same.
    ///
    /// Without it, the clock is [`Clock::system`].
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        self.with(|settings| settings.clock = clock)
    }

    /// The same limiter with this answer when its store fails. A memory store never does.
    ///
    /// Without it, the answer is [`OnFailure::Open`]. Either way the verdict says that it is
    /// [degraded](Allowed::degraded), and a warning is logged.
    #[must_use]
    pub fn with_on_failure(self, on_failure: OnFailure) -> Self {
        self.with(|settings| settings.on_failure = on_failure)
    }

    /// The quota that each subject has.
    #[must_use]
    pub fn quota(&self) -> &Quota {
        &self.0.quota
    }

    /// The name in headers and problems.
    #[must_use]
    pub fn name(&self) -> &PolicyName {
        &self.0.name
    }

    /// Asks whether `subject` may spend `cost` tokens now, and charges them if so.
    ///
    /// It never fails: where the store does, [`OnFailure`] answers. With a memory store it is
    /// ready at once, and the same as [`try_check`](Self::try_check).
    ///
    /// Cancel-safe: a dropped question has either been charged or not, and holds nothing.
    pub async fn check(&self, subject: &Subject<'_>, cost: u32) -> Verdict {
        let charge = self.charge(subject, cost);
        match self.try_decide(charge) {
            Some(decision) => self.verdict(&decision, cost),
            None => {
                let decision = self.decide(charge).await;
                self.settle(decision, cost)
            }
        }
    }

    /// The same without waiting: `None` if the store cannot answer without. A memory store always
    /// can, and allocates nothing for it.
    pub fn try_check(&self, subject: &Subject<'_>, cost: u32) -> Option<Verdict> {
        let decision = self.try_decide(self.charge(subject, cost))?;
        Some(self.verdict(&decision, cost))
    }

    pub(crate) fn charge(&self, subject: &Subject<'_>, cost: u32) -> Charge {
        Charge::new(self.0.digest.bucket(subject), self.0.quota, cost)
    }

    pub(crate) fn try_decide(&self, charge: Charge) -> Option<Decision> {
        self.0.store.try_decide(&[charge], self.0.clock.now())
    }

    pub(crate) fn decide(&self, charge: Charge) -> PendingDecision {
        Arc::clone(&self.0.store).decide(Charges::from(charge), self.0.clock.now())
    }

    /// The verdict on a decision that was waited for.
    pub(crate) fn settle(&self, decision: Result<Decision, Error>, cost: u32) -> Verdict {
        let error = match decision {
            Ok(decision) => return self.verdict(&decision, cost),
            Err(error) => error,
        };
        tracing::warn!(
            policy = self.0.name.as_str(),
            on_failure = ?self.0.on_failure,
            error = ?error,
            "the rate limit store failed, deciding without it"
        );
        match self.0.on_failure {
            OnFailure::Closed => Verdict::Refused(Refused {
                outcome: None,
                degraded: true,
            }),
            OnFailure::Open => Verdict::Allowed(Allowed {
                outcome: None,
                degraded: true,
            }),
        }
    }

    pub(crate) fn verdict(&self, decision: &Decision, cost: u32) -> Verdict {
        let outcome = decision.outcomes().first().copied();
        let degraded = decision.is_degraded();
        if decision.is_admitted() {
            Verdict::Allowed(Allowed { outcome, degraded })
        } else if outcome.is_some_and(|outcome| outcome.is_never()) {
            Verdict::Never(Never {
                cost,
                capacity: self.0.quota.capacity(),
            })
        } else {
            Verdict::Refused(Refused { outcome, degraded })
        }
    }

    pub(crate) fn policy(&self) -> HeaderValue {
        self.0.policy.clone()
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("name", &self.0.name)
            .field("quota", &self.0.quota)
            .field("store", &self.0.store)
            .field("clock", &self.0.clock)
            .field("on_failure", &self.0.on_failure)
            .finish_non_exhaustive()
    }
}
