mod flight;
mod lease;
mod order;
mod owed;
mod table;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrayvec::ArrayVec;
use async_trait::async_trait;
use pm_core::Tick;
use pm_core::degrade::State;

use self::order::Order;
use self::owed::Owed;
use self::table::Table;
use super::{RateLimitStore, RedisStore};
use crate::{Charge, Charges, Decision, Error, Outcome, telemetry};

/// How often what was not used since is given back.
const IDLE: Duration = Duration::from_secs(1);

/// A [`RedisStore`] that tokens are leased from: each instance takes some of them ahead and spends them
/// without asking, so that most decisions cost no round trip.
///
/// That is for charges that say so ([`Rule::leased`](crate::Rule::leased), [`Charge::leased`]); all
/// others are decided as without it. A decision is local if what is held pays for all of it. Otherwise
/// it is one question, all or nothing, in which what is held pays for its part. A decision that has
/// charges of both kinds always asks, and takes nothing ahead.
///
/// ```no_run
/// use pm_core::redis::{Endpoint, Options, Redis};
/// use pm_ratelimit::{By, Fallback, Leases, Limiter, MemoryStore, Quota, RedisStore, Rule, Rules};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let everyone = Rule::always().by(By::Everyone).quota(Quota::per_second(10_000)).leased(200);
/// let redis = Redis::connect(Endpoint::single("redis://127.0.0.1/")?, Options::new()).await?;
/// let leases = Leases::of(RedisStore::new(redis), 10_000);
/// tokio::spawn(leases.clone().run());
/// let store = Fallback::new(leases.clone(), MemoryStore::bounded(1_000_000)).replicas(3);
/// let limiter = Limiter::builder(Rules::new().rule("everyone", everyone)).store(store).build()?;
/// // … and when the last request has been answered:
/// leases.release().await;
/// # Ok(()) }
/// ```
///
/// # The bound
///
/// A token leaves its bucket before it can be spent, is spent once, and may be given back only if it
/// was not. So of one bucket, in any stretch of time *t*, all instances together admit at most
///
/// > burst + rate × *t* + what they held when it began,
///
/// and no instance holds more than the slice. So it is never more than *instances × slice* beyond the
/// quota, and counted from a moment at which nobody held anything, never more than the quota. The
/// difference is what was held while the bucket filled up again. [`stats`](Self::stats) tells how much
/// is held. A decision counts when its tokens leave the bucket or the slice; while it asks for more,
/// what it has from the slice is held beside that.
///
/// * An instance that is killed takes nothing along but what it held: that is admitted by nobody, and
///   drains.
/// * Under another quota, by a role, after a reload or in an emergency, what is held is not spent. It
///   is given back if the bucket has not gone over to that quota, and stays taken if it has. Where a
///   rule's slice is made smaller, the larger one counts until it is spent.
/// * A rule on trial is leased like any other. Whoever [looks](crate::Mode::Peek) always asks, and sees
///   the bucket without what is held.
/// * A server that forgets its buckets begins anew, as without leases; what is held comes on top.
/// * In an outage, what is held is spent before a [`Fallback`](crate::Fallback) around this decides: it
///   comes on top of what that admits.
///
/// # What it costs
///
/// * **A refusal may be early.** What others hold cannot be admitted here: at most *(instances − 1) ×
///   slice*, and until a second or two after they last used it. So what is taken ahead begins with
///   nothing and doubles from one question to the next, up to the slice, and is never more than half of
///   what is in the bucket: the last tokens are there for all, at the price of a question for each. The
///   wait that is told is that of the bucket; it may help to ask earlier.
/// * **What is told to remain** is what the bucket had when this instance last asked, what has come back
///   since, and what it holds. What others took since is not in it. To an instance that is alone it is
///   exact, as long as the bucket does not fill up.
/// * **What is given back** is what has not come back by itself meanwhile. No bucket is ever fuller than
///   if that had never been taken.
/// * **What is lost** stays taken, and drains: the slice of an instance that is killed or not
///   [released](Self::release), that of a call that failed, and what cannot be given back. Behind a
///   call that failed nothing is taken ahead until one is answered: that is one slice in a row at most.
///
/// At most one question about a bucket takes tokens ahead at a time. Whoever lacks them waits for that
/// one, once, and asks for itself if it did not bring enough. A decision that asks anyway does not wait.
pub struct Leases(Arc<Shared>);

struct Shared {
    store: Arc<RedisStore>,
    table: Table,
    counters: Counters,
}

/// Tokens that [`Leases`] have taken ahead since they were made, and what became of them:
/// `taken` = `spent` + `outstanding` + `returned` + `lost`, but for what is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeaseStats {
    /// That can neither be spent nor given back: a call failed that may have taken them, or that was
    /// to give them back, or nobody waited for that any more.
    pub lost: u64,
    /// That may be spent without asking, at this moment. All else is since the start.
    pub outstanding: u64,
    /// That were given back. What had come back to the bucket by itself meanwhile came back once, and
    /// what is of a bucket that has gone over to another quota stays taken.
    pub returned: u64,
    /// That requests were admitted by.
    pub spent: u64,
    /// That were taken ahead.
    pub taken: u64,
}

#[derive(Debug, Default)]
struct Counters {
    returned: AtomicU64,
    taken: AtomicU64,
}

impl Leases {
    /// Leases of up to about `buckets` buckets at a time; 170 bytes for each, from the start. A
    /// bucket that there is no room for is asked about each time.
    #[must_use]
    pub fn of(store: impl Into<Arc<RedisStore>>, buckets: usize) -> Self {
        Self(Arc::new(Shared {
            store: store.into(),
            table: Table::new(buckets),
            counters: Counters::default(),
        }))
    }

    /// Gives back what nobody has used for one to two seconds, for ever. Spawn it; without it, that
    /// stays taken.
    ///
    /// While the server is down, what is held stays. Cancel-safe: what is being given back when it is
    /// dropped is given back or lost.
    ///
    /// # Panics
    ///
    /// With the system clock, outside a tokio runtime with its timer on.
    pub async fn run(self) {
        let clock = self.0.store.clock().clone();
        loop {
            clock.sleep_until(clock.now() + IDLE).await;
            self.tend().await;
        }
    }

    async fn tend(&self) {
        let shared = &self.0;
        if shared.store.state() == State::Up {
            Owed::give_back(Owed::all(shared, shared.table.sweep())).await;
        }
        telemetry::leases_outstanding(shared.table.sums().outstanding);
    }

    /// Ends all leases: waits for tokens that are being taken, and gives back all that are not spent.
    /// For the end of a program, behind the last request. A decision after that asks the store.
    ///
    /// Each call of the server has the deadline of its handle, and if the server is down they all
    /// fail at once. Cancel-safe: what was not given back when it is dropped is lost.
    pub async fn release(&self) {
        let shared = &self.0;
        let (unspent, flights) = shared.table.close();
        let owed = Owed::all(shared, unspent);
        for flight in flights {
            flight.over().await;
        }
        Owed::give_back(owed).await;
        telemetry::leases_outstanding(0);
    }

    /// What has been counted.
    #[must_use]
    pub fn stats(&self) -> LeaseStats {
        let Shared {
            table, counters, ..
        } = &*self.0;
        let sums = table.sums();
        LeaseStats {
            lost: sums.lost,
            outstanding: sums.outstanding,
            returned: counters.returned.load(Ordering::Relaxed),
            spent: sums.spent,
            taken: counters.taken.load(Ordering::Relaxed),
        }
    }
}

impl Clone for Leases {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Shared {
    /// Pays for all of it, or for nothing.
    fn spend(&self, charges: &[Charge], now: Tick) -> Option<Decision> {
        if let [charge] = charges {
            let outcome = self.table.spend(charge, now)?;
            return Some(Decision::on_one(true, outcome));
        }
        let mut outcomes: ArrayVec<Outcome, { Charges::MAX }> = ArrayVec::new();
        for charge in charges {
            let Some(outcome) = self.table.spend(charge, now) else {
                for paid in &charges[..outcomes.len()] {
                    self.table.put_back(paid, paid.cost());
                }
                return None;
            };
            outcomes.push(outcome);
        }
        Some(Decision::admitted(outcomes))
    }
}

#[async_trait]
impl RateLimitStore for Leases {
    /// `None` unless all charges are leased, and what is held pays for all of them.
    fn try_decide(&self, charges: &[Charge], now: Tick) -> Option<Decision> {
        if charges.iter().all(Charge::is_leased) {
            self.0.spend(charges, now)
        } else {
            None
        }
    }

    /// Cancel-safe: if the future is dropped the charges are taken or not, and what was taken ahead
    /// can be spent.
    ///
    /// # Errors
    ///
    /// Those of [`RedisStore`].
    async fn decide(self: Arc<Self>, charges: Charges, now: Tick) -> Result<Decision, Error> {
        let shared = &self.0;
        let is_leased = charges.as_slice().iter().any(Charge::is_leased);
        if !is_leased || shared.store.state() == State::Down {
            return Arc::clone(&shared.store).decide(charges, now).await;
        }
        let mut may_wait = true;
        let order = loop {
            // Others may have brought something since it was found to need more.
            if let Some(decision) = self.try_decide(charges.as_slice(), now) {
                return Ok(decision);
            }
            match Order::of(&shared.table, charges.clone(), may_wait) {
                Ok(order) => break order,
                Err(flight) => {
                    flight.over().await;
                    may_wait = false;
                }
            }
        };
        order.carry_out(shared, now).await
    }

    fn state(&self) -> State {
        self.0.store.state()
    }
}

impl Counters {
    fn returned(&self, tokens: u32) {
        self.returned.fetch_add(tokens.into(), Ordering::Relaxed);
        telemetry::leased("returned", tokens);
    }

    fn taken(&self, tokens: u32) {
        self.taken.fetch_add(tokens.into(), Ordering::Relaxed);
        telemetry::leased("taken", tokens);
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases")
            .field("store", &self.0.store)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(pm_loom)))]
mod tests;
