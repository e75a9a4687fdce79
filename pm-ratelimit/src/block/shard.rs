use super::bits::Bits;
use super::filter::Filter;
use super::search::Search;
use super::slot::Slot;

/// Some of the prefixes of a family: those whose hashes say so.
///
/// A look-up that finds nothing reads one word of the filter; one that finds something, hardly ever more
/// than one line of the cache after that.
#[derive(Clone, Debug)]
pub(super) struct Shard<A> {
    filter: Filter,
    /// Each from where its hash says on, with none that is free between. A power of two of them.
    rows: Vec<Row<A>>,
    /// How many are not free.
    len: usize,
}

#[derive(Clone, Debug)]
struct Row<A> {
    network: A,
    slot: Slot,
}

impl<A: Bits> Shard<A> {
    /// Shows what is said around the address of which this is the hash of a beginning, but nothing that
    /// is shorter than that.
    #[inline]
    pub(super) fn show<'a>(&'a self, hash: u64, beginning: u32, addr: A, search: &mut Search<'a>) {
        if !self.filter.may_have(hash) {
            return;
        }
        let mut at = self.home(hash);
        while !self.rows[at].slot.is_free() {
            let Row { network, slot } = &self.rows[at];
            let length = u32::from(slot.length());
            // There may be others on the way, whose turn it is not.
            if length >= beginning && network.in_common(addr) >= length {
                search.meet(slot);
            }
            at = self.after(at);
        }
    }

    pub(super) fn exactly(&self, hash: u64, network: A, length: u8) -> Option<&Slot> {
        let row = &self.rows[self.position(hash, network, length)];
        Some(&row.slot).filter(|slot| !slot.is_free())
    }

    /// Says something about a prefix about which nothing is said. `hash_of` says the hash of any.
    pub(super) fn insert(
        &mut self,
        hash: u64,
        network: A,
        slot: Slot,
        hash_of: impl Fn(A, u8) -> u64,
    ) {
        let at = self.position(hash, network, slot.length());
        self.rows[at] = Row { network, slot };
        self.len += 1;
        // One in eight is free, so that there is always an end.
        if 8 * self.len > 7 * self.rows.len() {
            self.resize(2 * self.rows.len(), &hash_of);
        }
        self.filter.add(hash);
        if self.filter.is_full() {
            self.filter = self.filtered(hash_of);
        }
    }

    pub(super) fn remove(
        &mut self,
        hash: u64,
        network: A,
        length: u8,
        hash_of: impl Fn(A, u8) -> u64,
    ) {
        let mut gap = self.position(hash, network, length);
        if self.rows[gap].slot.is_free() {
            return;
        }
        self.len -= 1;
        let mut next = self.after(gap);
        while !self.rows[next].slot.is_free() {
            let Row { network, slot } = &self.rows[next];
            let home = self.home(hash_of(*network, slot.length()));
            if self.distance(home, next) >= self.distance(gap, next) {
                self.rows.swap(gap, next);
                gap = next;
            }
            next = self.after(next);
        }
        self.rows[gap].slot = Slot::free();
        if self.rows.len() > 16 * self.len.max(1) {
            self.resize(self.rows.len() / 4, &hash_of);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0 && self.rows.iter().all(|row| row.slot.is_free())
    }

    /// Where this prefix is, or else the free row where it would be.
    fn position(&self, hash: u64, network: A, length: u8) -> usize {
        let mut at = self.home(hash);
        loop {
            let row = &self.rows[at];
            let is = row.network == network && row.slot.length() == length;
            if is || row.slot.is_free() {
                return at;
            }
            at = self.after(at);
        }
    }

    fn resize(&mut self, rows: usize, hash_of: impl Fn(A, u8) -> u64) {
        let rows = vec![Row::free(); rows];
        for row in std::mem::replace(&mut self.rows, rows) {
            if !row.slot.is_free() {
                let (network, length) = (row.network, row.slot.length());
                let at = self.position(hash_of(network, length), network, length);
                self.rows[at] = row;
            }
        }
        self.filter = self.filtered(hash_of);
    }

    fn filtered(&self, hash_of: impl Fn(A, u8) -> u64) -> Filter {
        let rows = self.rows.iter().filter(|row| !row.slot.is_free());
        let hashes = rows.map(|row| hash_of(row.network, row.slot.length()));
        Filter::of(self.len, hashes)
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        hash as usize & (self.rows.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.rows.len() - 1)
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.rows.len() - 1)
    }
}

impl<A: Bits> Row<A> {
    fn free() -> Self {
        Self {
            network: A::default(),
            slot: Slot::free(),
        }
    }
}

impl<A: Bits> Default for Shard<A> {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            rows: vec![Row::free(); 2],
            len: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use pm_core::Cidr;
    use proptest::prelude::*;

    use super::*;
    use crate::block::{Effect, Order};

    fn slot() -> Slot {
        let host: Cidr = "192.0.2.1/32".parse().expect("valid");
        Slot::of(&Order::on(host).at(0, Effect::Block))
    }

    /// So few that many have the same.
    fn hash(network: u64, length: u8) -> u64 {
        (network % 5) * 3 + u64::from(length / 100)
    }

    proptest! {
        #[test]
        fn whatever_was_put_in_and_not_taken_out_is_there(
            changes in proptest::collection::vec((0u64..60, any::<bool>()), 1..200),
        ) {
            let (mut shard, mut model) = (Shard::default(), BTreeSet::new());
            for (network, insert) in changes {
                let hash_of = hash(network, 32);
                if insert && model.insert(network) {
                    shard.insert(hash_of, network, slot(), hash);
                } else if !insert {
                    model.remove(&network);
                    shard.remove(hash_of, network, 32, hash);
                }
                for network in 0..60 {
                    let found = shard.exactly(hash(network, 32), network, 32);
                    prop_assert_eq!(found.is_some(), model.contains(&network));
                    prop_assert!(found.is_none() || shard.filter.may_have(hash(network, 32)));
                }
                prop_assert_eq!(shard.len, model.len());
                prop_assert!(shard.rows.len() > shard.len && shard.rows.len().is_power_of_two());
            }
        }
    }

    #[test]
    fn it_takes_no_more_room_than_it_needs() {
        let mut shard = Shard::default();
        let spread = |network: u64, _: u8| network.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for network in 0..1_000 {
            shard.insert(spread(network, 32), network, slot(), spread);
        }
        assert_eq!(shard.rows.len(), 2_048);
        for network in 0..990 {
            shard.remove(spread(network, 32), network, 32, spread);
        }
        assert!(shard.rows.len() <= 256, "{}", shard.rows.len());
        assert!(
            (990..1_000).all(|network| shard.exactly(spread(network, 32), network, 32).is_some())
        );
    }
}
