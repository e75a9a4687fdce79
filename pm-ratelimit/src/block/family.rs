use std::array;
use std::sync::Arc;

use super::bits::Bits;
use super::search::Search;
use super::shard::Shard;
use super::slot::Slot;

/// So few that a look-up touches few pages of memory, so many that a change copies little.
const SHARDS: usize = 16;

/// Prefixes with the same beginning may differ in their last bits, fewer than these.
const STEP: u32 = 4;

/// Lengths of beginnings: 0, 4, … 128 bits.
const LENGTHS: usize = 33;

/// Prefixes of addresses of one kind. A copy shares almost everything.
#[derive(Clone, Debug)]
pub(super) struct Family<A> {
    /// Nobody outside knows them, and so nobody can choose addresses that meet in one place.
    seeds: [u64; 2],
    all: Beginnings,
    /// Those of prefixes that are allowed.
    allowing: Beginnings,
    shards: [Arc<Shard<A>>; SHARDS],
}

/// How long beginnings are.
#[derive(Clone, Copy, Debug)]
struct Beginnings {
    /// How many there are of each length.
    counts: [u32; LENGTHS],
    /// Bit `n` says that there are any of `4 n` bits.
    any: u64,
}

impl<A: Bits> Family<A> {
    /// With these seeds.
    pub(super) fn new(seeds: [u64; 2]) -> Self {
        let empty = Arc::default();
        Self {
            seeds,
            all: Beginnings::default(),
            allowing: Beginnings::default(),
            shards: array::from_fn(|_| Arc::clone(&empty)),
        }
    }

    /// Shows what is said about prefixes that contain the address, the longest beginnings first.
    #[inline]
    pub(super) fn show<'a>(&'a self, addr: A, search: &mut Search<'a>) {
        let mut length = LENGTHS as u32;
        loop {
            let wanted = if search.has_met_any() {
                self.allowing.any
            } else {
                self.all.any
            };
            let shorter = wanted & ((1 << length) - 1);
            if shorter == 0 {
                return;
            }
            length = shorter.ilog2();
            let hash = hash(self.seeds, addr, length);
            self.shards[shard(hash)].show(hash, length * STEP, addr, search);
        }
    }

    /// What is said about exactly this prefix.
    pub(super) fn exactly(&self, network: A, length: u8) -> Option<&Slot> {
        let hash = hash(self.seeds, network, u32::from(length) / STEP);
        self.shards[shard(hash)].exactly(hash, network, length)
    }

    /// Says this from now on, or nothing.
    pub(super) fn replace(&mut self, network: A, slot: Slot) {
        let (length, allows) = (slot.length(), slot.allows());
        self.remove(network, length);
        if slot.is_free() {
            return;
        }
        let (seeds, beginning) = (self.seeds, u32::from(length) / STEP);
        let hash = hash(seeds, network, beginning);
        let shard = Arc::make_mut(&mut self.shards[shard(hash)]);
        shard.insert(hash, network, slot, hash_of(seeds));
        self.all.add(beginning);
        if allows {
            self.allowing.add(beginning);
        }
    }

    pub(super) fn remove(&mut self, network: A, length: u8) {
        let Some(slot) = self.exactly(network, length) else {
            return;
        };
        let allows = slot.allows();
        let (seeds, beginning) = (self.seeds, u32::from(length) / STEP);
        let hash = hash(seeds, network, beginning);
        let shard = Arc::make_mut(&mut self.shards[shard(hash)]);
        shard.remove(hash, network, length, hash_of(seeds));
        self.all.take(beginning);
        if allows {
            self.allowing.take(beginning);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.all.any == 0
            && self.allowing.any == 0
            && self.shards.iter().all(|shard| shard.is_empty())
    }

    #[cfg(test)]
    pub(super) fn shards(&self) -> &[Arc<Shard<A>>] {
        &self.shards
    }
}

impl Beginnings {
    fn add(&mut self, length: u32) {
        self.counts[length as usize] += 1;
        self.any |= 1 << length;
    }

    fn take(&mut self, length: u32) {
        let count = &mut self.counts[length as usize];
        *count -= 1;
        if *count == 0 {
            self.any &= !(1 << length);
        }
    }
}

impl Default for Beginnings {
    fn default() -> Self {
        Self {
            counts: [0; LENGTHS],
            any: 0,
        }
    }
}

/// Of the first so many times four bits. Those of different lengths differ, too.
#[inline]
fn hash<A: Bits>([first, second]: [u64; 2], addr: A, length: u32) -> u64 {
    let beginning = addr.network(length * STEP);
    beginning.hash([first ^ u64::from(length), second])
}

fn hash_of<A: Bits>(seeds: [u64; 2]) -> impl Fn(A, u8) -> u64 {
    move |network, length| hash(seeds, network, u32::from(length) / STEP)
}

/// By other bits than those by which a shard finds a row.
const fn shard(hash: u64) -> usize {
    (hash >> 60) as usize % SHARDS
}
