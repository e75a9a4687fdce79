use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use pm_core::Tick;
use pm_core::degrade::State;
use pm_core::redis::{Redis, Reply, Script};

use super::RateLimitStore;
use crate::algorithm::Gcra;
use crate::{Charge, Charges, Decision, Error, Mode, Outcome};

const DECIDE: &str = include_str!("decide.lua");

/// Buckets in a Redis or Valkey server (6.2 or later), shared by all processes that use it.
///
/// A decision is one script, and so one round trip for up to eight charges, all or nothing. It is
/// never sent twice: only a server that says it does not know the script is given the text, once. A
/// refusal writes nothing, except that it may put a bucket under another quota.
///
/// * **Exact.** The arithmetic is that of [`MemoryStore`](super::MemoryStore), in integers, to the
///   nanosecond, for every [`Quota`](crate::Quota) there is. Only the fraction of a token that is
///   owed when a bucket goes over to or from a quota of more than fifty days for one token is
///   rounded up to microseconds.
/// * **Time** is the server's, in microseconds, and waits are rounded up to them. It may step back, when a replica takes over: for a
///   bucket, no time has passed then until it is charged again, or until the clock is where it was.
///   The waits that are told say so.
/// * **Keys** are the prefix and the digest of the [`BucketId`](crate::BucketId) in hexadecimal,
///   never anything that a client sent. A bucket expires when it is full. Processes share buckets
///   if their limiters have the same [`DigestKey`](crate::DigestKey).
/// * **Deadlines** are those of the handle, 5 ms by default
///   ([`Redis::with_deadline`](pm_core::redis::Redis::with_deadline)). While the server is down
///   every decision fails at once.
///
/// Buckets must not be evicted: with `maxmemory`, the policy is to be `noeviction`.
///
/// A cluster is not supported yet: on a handle of one, every decision is
/// [`Error::Unavailable`], with the reason as its source.
///
/// ```no_run
/// use pm_core::redis::{Endpoint, Options, Redis};
/// use pm_ratelimit::RedisStore;
///
/// # async fn example() -> Result<(), pm_core::redis::Error> {
/// let redis = Redis::connect(Endpoint::single("redis://127.0.0.1/")?, Options::new()).await?;
/// let store = RedisStore::new(redis).with_prefix("shop:limits:");
/// # Ok(())
/// # }
/// ```
pub struct RedisStore {
    redis: Redis,
    prefix: Box<str>,
    decide: Script,
}

impl RedisStore {
    /// Buckets in this Redis, under keys that begin with `pm:ratelimit:`.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        Self {
            redis,
            prefix: "pm:ratelimit:".into(),
            decide: Script::new(DECIDE),
        }
    }

    /// The same store with keys that begin with `prefix`. Stores with different prefixes share no
    /// bucket.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<Box<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    async fn ask(&self, charges: &[Charge]) -> Result<Reply, Error> {
        if self.redis.is_cluster() {
            return Err(Error::unavailable(NoCluster));
        }
        let keys = charges.iter().map(|charge| self.key(charge));
        let mut invocation = self.decide.on(keys);
        for charge in charges {
            let interval = charge.quota().interval_nanos();
            let mode = match charge.mode() {
                Mode::Enforce => "enforce",
                Mode::Peek => "peek",
                Mode::Shadow => "shadow",
            };
            invocation = invocation
                .arg(mode)
                .arg(charge.cost())
                .arg(charge.quota().capacity())
                .arg(interval / 1_000)
                .arg(interval % 1_000)
                .arg(charge.ceiling());
        }
        self.redis.run(&invocation).await.map_err(failed)
    }

    fn key(&self, charge: &Charge) -> String {
        format!("{}{:032x}", self.prefix, charge.bucket().as_u128())
    }
}

#[async_trait]
impl RateLimitStore for RedisStore {
    /// Always `None`: the answer comes over the network.
    fn try_decide(&self, _: &[Charge], _: Tick) -> Option<Decision> {
        None
    }

    /// Cancel-safe. The time is not used.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] if the server did not answer within the handle's deadline,
    /// [`Error::Unavailable`] with the handle's error as its source otherwise.
    async fn decide(self: Arc<Self>, charges: Charges, _: Tick) -> Result<Decision, Error> {
        let charges = charges.as_slice();
        if charges.is_empty() {
            return Ok(Decision::admitted([]));
        }
        let reply = self.ask(charges).await?;
        understood(charges, reply).map_err(failed)
    }

    /// What the handle's switch says.
    fn state(&self) -> State {
        self.redis.state()
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("redis", &self.redis)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Reads the script's answer.
fn understood(charges: &[Charge], reply: Reply) -> Result<Decision, pm_core::redis::Error> {
    let mut numbers = reply.list()?.into_iter();
    let mut next = || {
        let number = numbers.next().unwrap_or(Reply::Nil).integer()?;
        u64::try_from(number).map_err(|_| pm_core::redis::Error::Unexpected)
    };
    let admitted = next()? == 1;
    let outcomes: Result<Vec<Outcome>, _> = charges
        .iter()
        .map(|charge| {
            let fits = next()? == 1;
            let debt = nanos(next()?).saturating_add(next()?);
            let late = nanos(next()?);
            Ok(Gcra::new(charge.quota()).answer(fits, debt, late, charge.cost()))
        })
        .collect();
    outcomes.map(|outcomes| {
        if admitted {
            Decision::admitted(outcomes)
        } else {
            Decision::refused(outcomes)
        }
    })
}

const fn nanos(micros: u64) -> u64 {
    micros.saturating_mul(1_000)
}

fn failed(error: pm_core::redis::Error) -> Error {
    match error {
        pm_core::redis::Error::TimedOut => Error::TimedOut,
        error => Error::unavailable(error),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a rate limit store on a Redis Cluster is not supported: give it a handle on one server")]
struct NoCluster;

#[cfg(all(test, not(pm_loom)))]
mod tests;
