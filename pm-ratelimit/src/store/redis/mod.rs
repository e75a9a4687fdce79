mod across;
mod answer;
mod group;
mod packed;

use std::fmt;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use pm_core::degrade::State;
use pm_core::redis::{Redis, Script};
use pm_core::{Clock, Tick};

use self::answer::Answer;
use self::group::Group;
use super::RateLimitStore;
use crate::{Charge, Charges, Decision, Error};

pub(super) use self::answer::{Receipt, Receipts};

const DECIDE: &str = concat!(include_str!("bucket.lua"), include_str!("decide.lua"));
const REFUND: &str = concat!(include_str!("bucket.lua"), include_str!("refund.lua"));

/// Buckets in a Redis or Valkey server (6.2 or later) or in a cluster of them, shared by all
/// processes that use it.
///
/// A decision is one script, and so one round trip for up to eight charges, all or nothing. It is
/// never sent twice: only a server that says it does not know the script is given the text, once. A
/// refusal writes nothing, except that it may put a bucket under another quota.
///
/// * **Exact.** The arithmetic is that of [`MemoryStore`](super::MemoryStore), in integers, to the
///   nanosecond, for every [`Quota`](crate::Quota) there is. Only the fraction of a token that is
///   owed when a bucket goes over to or from a quota of more than fifty days for one token is
///   rounded up to microseconds.
/// * **Time** is the server's, in microseconds, and waits are rounded up to them. It may step back,
///   when a replica takes over: for a bucket, no time has passed then until it is charged again, or
///   until the clock is where it was. The waits that are told say so.
/// * **Keys** are the prefix and the digest of the [`BucketId`](crate::BucketId) in hexadecimal,
///   never anything that a client sent. A bucket expires when it is full. Processes share buckets
///   if their limiters have the same [`DigestKey`](crate::DigestKey).
/// * **Deadlines** are those of the handle, 5 ms by default
///   ([`Redis::with_deadline`](pm_core::redis::Redis::with_deadline)). While the server is down
///   every decision fails at once.
///
/// Buckets must not be evicted: with `maxmemory`, the policy is to be `noeviction`.
///
/// # In a cluster
///
/// Each bucket is in a slot of its own, as one bucket may be charged together with any other. A
/// decision whose buckets are all in one slot is as on a single server. Any other is a script for
/// each slot, all at once, and admits if all do, in one round trip. If one refuses, what the others
/// took is given back by a second script for each, in a second round trip and within the same
/// deadline:
///
/// * **No bucket is ever fuller than if the refused decision had not been.** What has drained from a
///   bucket meanwhile is not given back, nor is what may not have been taken; and nothing is, if the
///   bucket went over to another quota.
/// * **A bucket that nobody else charges meanwhile is exactly as before.** If others do, each charge
///   of a refused decision may cost what drains from its bucket in the time of a round trip, and
///   never more than was taken. It costs nothing where the bucket owes more than that and more than
///   others were given back meanwhile, so that refusals do not use a bucket up.
/// * **Until it is given back it is taken**, for the time of a round trip: others may be refused what
///   is there again right after, and are told a wait for that. Of decisions that overlap in
///   several buckets and together want more than there is, all may be refused.
/// * **What cannot be given back stays taken**, and drains: that is at most what the decision asked
///   for. It happens if a script is lost or late ([`forfeited`](Self::forfeited)), and if the process
///   ends. It does not if whoever asked goes away.
/// * **If a server does not answer** the decision is an error, and what the others took stays taken,
///   since a fallback may admit. If one that answers refuses, it is a refusal all the same, without
///   the [outcomes](crate::Outcome::is_known) that are not known.
/// * **At a failover** what a primary admitted and its replica had not heard of is admitted once
///   more: as much as the bucket gave out within the lag of the replication.
///
/// With a prefix that has a hash tag, such as `{shop}:`, all buckets are in one slot: every decision
/// is one script, and one primary has all the work.
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
    refund: Script,
    forfeited: AtomicU64,
}

impl RedisStore {
    /// Buckets in this Redis, under keys that begin with `pm:ratelimit:`.
    ///
    /// In a cluster a decision on several slots spawns a task, and another if something is to be
    /// given back. They end with the deadlines of what they send.
    #[must_use]
    pub fn new(redis: Redis) -> Self {
        Self {
            redis,
            prefix: "pm:ratelimit:".into(),
            decide: Script::new(DECIDE),
            refund: Script::new(REFUND),
            forfeited: AtomicU64::new(0),
        }
    }

    /// The same store with keys that begin with `prefix`. Stores with different prefixes share no
    /// bucket.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<Box<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How many scripts that were to give back what a refused decision had taken have failed, in a
    /// cluster: what was taken may have stayed taken.
    #[must_use]
    pub fn forfeited(&self) -> u64 {
        self.forfeited.load(Ordering::Relaxed)
    }

    /// What each group of the charges was answered.
    async fn ask(
        self: Arc<Self>,
        charges: &[Charge],
    ) -> Result<(Arc<[Group]>, Vec<Option<Answer>>), Error> {
        let groups: Arc<[Group]> = Group::all(&self, charges).into();
        let answers = match &*groups {
            [] => Vec::new(),
            [group] => vec![Some(group.decide(&self).await.map_err(failed)?)],
            _ => across::decide(self, Arc::clone(&groups)).await?,
        };
        Ok((groups, answers))
    }

    /// Decides as [`decide`](RateLimitStore::decide) does, and says of each charge that was taken how
    /// to give it back.
    pub(super) async fn take(
        self: Arc<Self>,
        charges: &[Charge],
    ) -> Result<(Decision, Receipts), Error> {
        let (groups, answers) = self.ask(charges).await?;
        let receipts = answer::receipts(&groups, &answers);
        Ok((answer::decision(&groups, &answers), receipts))
    }

    /// Gives back a charge, or less than it took: then it is as if the rest had been taken in its
    /// place.
    pub(super) async fn give_back(&self, charge: &Charge, receipt: &Receipt) -> Result<(), Error> {
        for group in Group::all(self, slice::from_ref(charge)) {
            let mut answer = receipt.answer();
            (group.give_back(self, &mut answer).await).map_err(failed)?;
        }
        Ok(())
    }

    /// What its deadlines are measured with.
    pub(super) fn clock(&self) -> &Clock {
        self.redis.clock()
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
        let (groups, answers) = self.ask(charges.as_slice()).await?;
        Ok(answer::decision(&groups, &answers))
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

fn failed(error: pm_core::redis::Error) -> Error {
    match error {
        pm_core::redis::Error::TimedOut => Error::TimedOut,
        error => Error::unavailable(error),
    }
}

#[cfg(all(test, not(pm_loom)))]
pub(super) mod tests;
