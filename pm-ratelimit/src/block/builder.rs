use std::sync::Arc;

use pm_core::{Cidr, Clock};

use super::{AutoBlock, BlockList, BlockStore};
use crate::guard;

/// A [`BlockList`] to be.
#[derive(Debug)]
#[must_use = "it does nothing until it is built"]
pub struct BlockListBuilder {
    pub(super) store: Option<Arc<dyn BlockStore>>,
    pub(super) clock: Clock,
    pub(super) automatic: Option<AutoBlock>,
    pub(super) allowed: Vec<Cidr>,
    pub(super) addresses: usize,
    pub(super) room: usize,
}

impl BlockListBuilder {
    pub(super) fn new() -> Self {
        Self {
            store: None,
            clock: Clock::system(),
            automatic: None,
            allowed: Vec::new(),
            addresses: 16_384,
            room: 200_000,
        }
    }

    /// Where entries are kept, for all instances that share it. Without it, in the memory of this
    /// process.
    pub fn store(mut self, store: Arc<dyn BlockStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Blocks addresses for their violations, too. The list has to
    /// [observe](crate::LimiterBuilder::observer) the limiter for it. Without this, it only blocks
    /// what it is ordered to.
    pub const fn automatic(mut self, automatic: AutoBlock) -> Self {
        self.automatic = Some(automatic);
        self
    }

    /// Always lets these in, whatever is said. It cannot be lifted while the program runs. Your own
    /// proxies, load balancers, health checks and offices belong here: an address that many share
    /// is soon blocked for what one of them does.
    pub fn allow(mut self, prefixes: impl IntoIterator<Item = Cidr>) -> Self {
        self.allowed.extend(prefixes);
        self
    }

    /// How many addresses are counted for automatic blocks at the same time. Without it 16,384, which
    /// takes up to 10 MB. Where there are more, those with the fewest violations give way.
    pub const fn addresses(mut self, room: usize) -> Self {
        self.addresses = room;
        self
    }

    /// The most entries up to which there are automatic blocks. Without it, 200,000, some 60 MB. Where
    /// there are more, nobody is blocked for violations, which is counted: their limits still hold.
    pub const fn room(mut self, entries: usize) -> Self {
        self.room = entries;
        self
    }

    /// The clock. Without it, [`Clock::system`]. Blocks end by the time of day, so that all instances
    /// of a fleet need the same.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// A list that knows what is always allowed, and nothing else until it is
    /// [run](BlockList::run).
    #[must_use]
    pub fn build(mut self) -> BlockList {
        let store = self.store.take();
        let store = store.unwrap_or_else(|| Arc::new(guard::MemoryStore::new()));
        BlockList::start(self, store)
    }
}
