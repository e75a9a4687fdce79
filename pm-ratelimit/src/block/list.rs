use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pm_core::{Cidr, ClientIp, Clock, Tick};

use super::table::{FIXED, Table};
use super::waiting::Waiting;
use super::{
    AutoBlock, BlockListBuilder, BlockStore, Blocked, Cause, Effect, Entry, Order, PAGE, Position,
    UntilBlocked,
};
use crate::client_prefix::client_prefix;
use crate::telemetry::{BlockCounters, BlockStats};
use crate::violations::Watched;
use crate::{Error, Incident, RefusalObserver, guard};

/// The most automatic blocks that wait for the store, and that it is given at a time.
const ORDERS: usize = 1_000;

/// Who is kept out, and who never is: a handle that is cheap to clone.
///
/// Every instance knows the whole list, so that a look-up asks nobody. What is said on one instance
/// counts there at once and on all others that share the store within a second, on
/// [open sockets](Self::blocked), too.
///
/// **Allowing beats blocking**, whatever was there first and whichever prefix is wider: an address is
/// kept out if a block contains it and nothing that is allowed does.
///
/// An address behind NAT64 or 6to4 is looked up as itself and as the IPv4 address in it.
///
/// ```
/// use std::time::Duration;
/// use pm_ratelimit::block::{AutoBlock, BlockLayer, BlockList, Order};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let blocks = BlockList::builder()
///     .allow(["10.0.0.0/8".parse()?])
///     .automatic(AutoBlock::new())
///     .build();
/// tokio::spawn(blocks.clone().run());
/// let layer = BlockLayer::new(blocks.clone());
///
/// blocks.block(Order::on("198.51.100.0/24".parse()?).because("scraping").by("ada")).await?;
/// blocks.unblock("198.51.100.0/24".parse()?, "ada").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct BlockList(Arc<Shared>);

struct Shared {
    store: Arc<dyn BlockStore>,
    clock: Clock,
    table: Table,
    automatic: Option<(AutoBlock, Watched)>,
    room: usize,
    sync: Mutex<Sync>,
    counters: BlockCounters,
}

#[derive(Debug, Default)]
struct Sync {
    position: Position,
    /// When the store last answered.
    at: Option<Tick>,
    /// Automatic blocks that the store does not know of yet.
    orders: Vec<Entry>,
}

/// An entry, and what became of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listed {
    /// What is said.
    pub entry: Entry,
    /// How often this instance has kept somebody out for it, and for what was said about the same
    /// prefix before. A look-up in the very moment of a change may be missing.
    pub hits: u64,
    /// Whether it has an effect now.
    pub in_force: bool,
}

impl Listed {
    /// Whether the [configuration](BlockListBuilder::allow) says so: that counts more than what is said
    /// here, and is not taken back.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.entry.version == FIXED
    }
}

impl BlockList {
    /// An empty list in memory, unless something else is said.
    pub fn builder() -> BlockListBuilder {
        BlockListBuilder::new()
    }

    pub(super) fn start(settings: BlockListBuilder, store: Arc<dyn BlockStore>) -> Self {
        let table = Table::new();
        let now = settings.clock.wall_micros();
        let allowed = settings.allowed.into_iter().map(|prefix| Entry {
            version: FIXED,
            ..Order::on(prefix).by("configuration").at(now, Effect::Allow)
        });
        table.apply(allowed.collect());
        let automatic = settings.automatic.map(|automatic| {
            let watched = Watched::new(automatic.threshold_of(), settings.addresses);
            (automatic, watched)
        });
        Self(Arc::new(Shared {
            store,
            clock: settings.clock,
            table,
            automatic,
            room: settings.room,
            sync: Mutex::default(),
            counters: BlockCounters::default(),
        }))
    }

    /// Keeps up with the store, four times a second, for ever. Spawn it; without it the list knows
    /// nothing of other instances, and they nothing of its automatic blocks.
    ///
    /// While the store fails, what is known goes on counting, automatic blocks count on this instance
    /// only, and one line is logged when it begins and one when it ends. Cancel-safe.
    ///
    /// # Panics
    ///
    /// With the system clock, outside a tokio runtime with its timer on.
    pub async fn run(self) {
        let clock = self.0.clock.clone();
        guard::follow(clock, "blocks", || {
            let list = self.clone();
            async move { list.synchronize().await }
        })
        .await;
    }

    /// Tells the store what it does not know yet, and asks it what has changed: what
    /// [`run`](Self::run) does four times a second, and what you may wait for before the first
    /// request is let in.
    ///
    /// # Errors
    ///
    /// If the store failed. Automatic blocks that it was being told then count on this instance
    /// only.
    pub async fn synchronize(&self) -> Result<(), Error> {
        let result = self.exchange().await;
        // Last, because what the store tells may be over, too.
        self.0.table.tidy(self.0.clock.wall_micros());
        match &result {
            Ok(()) => self.sync().at = Some(self.0.clock.now()),
            Err(_) => self.0.counters.failed(),
        }
        result
    }

    async fn exchange(&self) -> Result<(), Error> {
        let shared = &self.0;
        let now = shared.clock.wall_micros();
        let orders = std::mem::take(&mut self.sync().orders);
        if !orders.is_empty() {
            let stand = Arc::clone(&shared.store).impose(orders, now).await?;
            shared.table.apply(stand);
        }
        loop {
            let since = self.sync().position;
            let changes = Arc::clone(&shared.store).changes(since, now).await?;
            if changes.position.epoch != since.epoch && since != Position::default() {
                tracing::warn!("the store of blocks has lost what it held; this instance keeps it");
                shared.table.doubt();
            }
            let more = changes.entries.len() >= PAGE;
            shared.table.apply(changes.entries);
            self.sync().position = changes.position;
            if !more {
                return Ok(());
            }
        }
    }

    /// Keeps these addresses out, whatever was said about the same prefix before.
    ///
    /// Cancel-safe: it is ordered or not.
    ///
    /// # Errors
    ///
    /// If the store failed. It may have been told nevertheless; to order it again does no harm.
    pub async fn block(&self, order: Order) -> Result<Entry, Error> {
        self.impose(order, Effect::Block).await
    }

    /// Lets these addresses in, whatever is said about them, about a part or about the whole. A block
    /// of exactly this prefix is over with it.
    ///
    /// # Errors
    ///
    /// As for [`block`](Self::block).
    pub async fn allow(&self, order: Order) -> Result<Entry, Error> {
        self.impose(order, Effect::Allow).await
    }

    /// Takes back what is said about exactly this prefix, blocked or allowed; earlier automatic
    /// blocks do not count any longer. Wider and narrower prefixes stay as they are.
    ///
    /// Returns what was in force as far as this instance knew, if anything.
    ///
    /// # Errors
    ///
    /// As for [`block`](Self::block).
    pub async fn unblock(
        &self,
        prefix: Cidr,
        actor: impl Into<Box<str>>,
    ) -> Result<Option<Entry>, Error> {
        let shared = &self.0;
        let known = shared.table.get(prefix);
        let now = shared.clock.wall_micros();
        self.impose(Order::on(prefix).by(actor), Effect::Lifted)
            .await?;
        if let Some((_, watched)) = &shared.automatic {
            watched.forget(prefix);
        }
        Ok(known.filter(|known| known.is_in_force(now) && known.version != FIXED))
    }

    async fn impose(&self, order: Order, effect: Effect) -> Result<Entry, Error> {
        let shared = &self.0;
        let now = shared.clock.wall_micros();
        let entry = order.at(now, effect);
        // What waits for the store was said before, and must not come behind this.
        (self.sync().orders).retain(|waiting| waiting.prefix != entry.prefix);
        let stand = Arc::clone(&shared.store).impose(vec![entry], now).await;
        let entry = stand?.pop().ok_or_else(|| Error::unavailable(NoAnswer))?;
        tracing::info!(
            prefix = %entry.prefix,
            effect = entry.effect.as_str(),
            actor = &*entry.actor,
            reason = &*entry.reason,
            until_micros = entry.until_micros,
            "something is said about an address"
        );
        shared.counters.imposed(entry.effect, entry.cause);
        shared.table.apply(vec![entry.clone()]);
        Ok(entry)
    }

    /// Whether the address is kept out, and why. Counted as a hit if it is.
    ///
    /// It takes no lock and asks nobody.
    #[must_use]
    pub fn check(&self, client: impl Into<ClientIp>) -> Option<Blocked> {
        let shared = &self.0;
        let client = client.into().addr();
        let blocked = shared.table.find(client, &shared.clock, |addr, slot| {
            slot.hit();
            Blocked::of(addr, slot)
        })?;
        shared.counters.hit();
        Some(blocked)
    }

    /// Waits until the address is kept out; at once if it is. For what lasts, such as a socket:
    ///
    /// ```
    /// # use pm_ratelimit::block::BlockList;
    /// # async fn serve(blocks: BlockList, client: std::net::IpAddr, socket: impl Future) {
    /// tokio::select! {
    ///     _ = socket => {}
    ///     blocked = blocks.blocked(client) => println!("closing: {:?}", blocked.prefix()),
    /// }
    /// # }
    /// ```
    ///
    /// It is woken only when something is said about its address, and not counted as a hit. Dropping
    /// it leaves nothing behind.
    pub fn blocked(&self, client: impl Into<ClientIp>) -> UntilBlocked {
        UntilBlocked::new(self.clone(), client.into())
    }

    /// What is said about exactly this prefix.
    #[must_use]
    pub fn get(&self, prefix: Cidr) -> Option<Listed> {
        let now = self.0.clock.wall_micros();
        self.0.table.listed(prefix, now)
    }

    /// A page of the list, in the order of the prefixes, from behind `after` on: at most `limit` of
    /// what is in force.
    #[must_use]
    pub fn list(&self, after: Option<Cidr>, limit: usize) -> Vec<Listed> {
        let now = self.0.clock.wall_micros();
        self.0.table.page(after, limit, now)
    }

    /// What has been counted.
    #[must_use]
    pub fn stats(&self) -> BlockStats {
        self.0.counters.stats()
    }

    /// How long ago the store last answered; `None` if it never has.
    #[must_use]
    pub fn behind(&self) -> Option<Duration> {
        let at = self.sync().at?;
        Some(self.0.clock.now().saturating_duration_since(at))
    }

    /// The same without counting it.
    pub(crate) fn find(&self, client: ClientIp) -> Option<Blocked> {
        let shared = &self.0;
        shared.table.find(client.addr(), &shared.clock, Blocked::of)
    }

    /// Another one whenever something was said.
    pub(super) fn generation(&self) -> u64 {
        self.0.table.generation()
    }

    pub(super) fn waiting(&self) -> &Waiting {
        &self.0.table.waiting
    }

    fn sync(&self) -> MutexGuard<'_, Sync> {
        self.0.sync.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks an address for its violations: here at once, elsewhere when the store knows.
    fn block_automatically(&self, automatic: &AutoBlock, prefix: Cidr) {
        let shared = &self.0;
        // Whoever is kept out already, or let in whatever happens, changes nothing by more of the same:
        // refusals go on where blocks do not apply, and one block would become the longest at once.
        if shared.table.is_decided(prefix.network(), &shared.clock) {
            return;
        }
        let now = shared.clock.wall_micros();
        let standing = shared.table.get(prefix);
        let entry = automatic.entry(prefix, standing.as_ref(), now);
        if standing.is_some_and(|standing| !standing.yields_to(&entry, now)) {
            return;
        }
        if shared.table.len() >= shared.room {
            shared.counters.no_room();
            return;
        }
        tracing::warn!(
            %prefix,
            level = entry.level,
            until_micros = entry.until_micros,
            "an address is blocked for its violations"
        );
        shared.counters.imposed(Effect::Block, Cause::Automatic);
        shared.table.apply_locally(entry.clone());
        let mut sync = self.sync();
        if sync.orders.len() < ORDERS {
            sync.orders.push(entry);
        }
    }
}

impl RefusalObserver for BlockList {
    fn refused(&self, incident: &Incident<'_>) {
        let shared = &self.0;
        let (Some((automatic, watched)), Some(client)) =
            (&shared.automatic, incident.verified_client())
        else {
            return;
        };
        let prefix = client_prefix(client);
        let at = i64::try_from(shared.clock.now().as_nanos() / 1_000).unwrap_or(i64::MAX);
        if watched.note(prefix, at) {
            // From here on it is counted anew.
            watched.forget(prefix);
            self.block_automatically(automatic, prefix);
        }
    }
}

impl fmt::Debug for BlockList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockList")
            .field("store", &self.0.store)
            .field("entries", &self.0.table.len())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the store answered with fewer entries than it was given")]
struct NoAnswer;
