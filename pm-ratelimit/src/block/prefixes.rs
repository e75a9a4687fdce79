use std::net::IpAddr;
use std::sync::Arc;

use pm_core::Cidr;

use super::entry::Standing;

/// The most slots of a leaf. About the square root of what a large list holds, so that a change
/// copies as little of the root as of the leaf.
const LEAF: usize = 512;

/// All prefixes of a list: an immutable value of which the next version shares almost everything.
///
/// Prefixes are either nested or apart. So they lie in one sorted sequence, each knowing by which
/// lengths it is enclosed: whatever contains an address is the last prefix that begins at or before
/// it, or encloses that. Most addresses are in none, and it takes one search and one byte to know.
/// The sequence is cut into leaves; a change copies the root and the one leaf that it touches.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefixes {
    v4: Family<u32>,
    v6: Family<u128>,
}

/// The prefixes of IPv4 or of IPv6.
#[derive(Clone, Debug)]
struct Family<A> {
    /// What each leaf begins with.
    firsts: Vec<Key<A>>,
    leaves: Vec<Arc<Leaf<A>>>,
}

/// A search reads the starts, and one of the outermost lengths; the slots only if it has found
/// something. A hundred thousand starts of IPv4 fit into the cache of a core, their slots do not.
#[derive(Clone, Debug)]
struct Leaf<A> {
    starts: Vec<A>,
    /// The length of the slot, or the shortest by which it is enclosed: an address that has fewer
    /// bits in common with the start is in nothing.
    outermost: Vec<u8>,
    slots: Vec<Slot>,
}

#[derive(Clone, Debug)]
struct Slot {
    length: u8,
    /// Bit `n` says that a prefix of length `n` encloses this one.
    around: u128,
    standing: Arc<Standing>,
}

/// Network and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key<A> {
    start: A,
    length: u8,
}

/// Leaf and slot.
type Place = (usize, usize);

/// An address as a number.
pub(super) trait Bits: Copy + Ord {
    /// How many of the highest bits are the same.
    fn in_common(self, other: Self) -> u8;

    /// Without the bits behind the first so many.
    fn network(self, length: u8) -> Self;
}

impl Bits for u32 {
    fn in_common(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }

    fn network(self, length: u8) -> Self {
        self & !Self::MAX.checked_shr(length.into()).unwrap_or(0)
    }
}

impl Bits for u128 {
    fn in_common(self, other: Self) -> u8 {
        (self ^ other).leading_zeros() as u8
    }

    fn network(self, length: u8) -> Self {
        self & !Self::MAX.checked_shr(length.into()).unwrap_or(0)
    }
}

impl Prefixes {
    /// What is said about the prefixes that contain the address, the longest first.
    pub(super) fn around(&self, addr: IpAddr) -> impl Iterator<Item = &Arc<Standing>> {
        let (v4, v6) = match addr {
            IpAddr::V4(v4) => (self.v4.around(v4.to_bits()), None),
            IpAddr::V6(v6) => (None, self.v6.around(v6.to_bits())),
        };
        v4.into_iter().flatten().chain(v6.into_iter().flatten())
    }

    pub(super) fn standing(&self, prefix: Cidr) -> Option<&Arc<Standing>> {
        let length = prefix.prefix();
        match prefix.network() {
            IpAddr::V4(v4) => self.v4.standing(Key::new(v4.to_bits(), length)),
            IpAddr::V6(v6) => self.v6.standing(Key::new(v6.to_bits(), length)),
        }
    }

    pub(super) fn insert(&mut self, prefix: Cidr, standing: Arc<Standing>) {
        let length = prefix.prefix();
        match prefix.network() {
            IpAddr::V4(v4) => self.v4.insert(Key::new(v4.to_bits(), length), standing),
            IpAddr::V6(v6) => self.v6.insert(Key::new(v6.to_bits(), length), standing),
        }
    }

    pub(super) fn remove(&mut self, prefix: Cidr) {
        let length = prefix.prefix();
        match prefix.network() {
            IpAddr::V4(v4) => self.v4.remove(Key::new(v4.to_bits(), length)),
            IpAddr::V6(v6) => self.v6.remove(Key::new(v6.to_bits(), length)),
        }
    }

    /// In the order of the prefixes, from behind `after` on.
    pub(super) fn iter(&self, after: Option<Cidr>) -> impl Iterator<Item = &Arc<Standing>> {
        let length = after.map_or(0, |after| after.prefix());
        let (v4, v6) = match after.map(|after| after.network()) {
            None => (Some(self.v4.iter(None)), self.v6.iter(None)),
            Some(IpAddr::V4(v4)) => {
                let after = Key::new(v4.to_bits(), length);
                (Some(self.v4.iter(Some(after))), self.v6.iter(None))
            }
            Some(IpAddr::V6(v6)) => {
                let after = Key::new(v6.to_bits(), length);
                (None, self.v6.iter(Some(after)))
            }
        };
        v4.into_iter().flatten().chain(v6)
    }

    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

impl<A: Bits> Family<A> {
    #[inline]
    fn around(&self, addr: A) -> Option<impl Iterator<Item = &Arc<Standing>>> {
        let (leaf, at) = self.before(Key::new(addr, u8::MAX))?;
        let leaf = &self.leaves[leaf];
        let common = leaf.starts[at].in_common(addr);
        (leaf.outermost[at] <= common).then(|| self.enclosing(addr, &leaf.slots[at], common))
    }

    /// The slot, if so many bits in common are enough for it, and whatever encloses both.
    fn enclosing<'a>(
        &'a self,
        addr: A,
        slot: &'a Slot,
        common: u8,
    ) -> impl Iterator<Item = &'a Arc<Standing>> {
        let own = (slot.length <= common).then_some(&slot.standing);
        let mut enclosing = slot.around & up_to(common);
        own.into_iter().chain(std::iter::from_fn(move || {
            let length = 127u8.checked_sub(enclosing.leading_zeros() as u8)?;
            enclosing &= !bit(length);
            self.standing(Key::new(addr.network(length), length))
        }))
    }

    fn standing(&self, key: Key<A>) -> Option<&Arc<Standing>> {
        let (leaf, slot) = self.exactly(key)?;
        Some(&self.leaves[leaf].slots[slot].standing)
    }

    fn insert(&mut self, key: Key<A>, standing: Arc<Standing>) {
        if let Some((leaf, slot)) = self.exactly(key) {
            Arc::make_mut(&mut self.leaves[leaf]).slots[slot].standing = standing;
            return;
        }
        let before = self.before(key);
        let around = before.map_or(0, |(leaf, slot)| {
            let leaf = &self.leaves[leaf];
            let common = leaf.starts[slot].in_common(key.start);
            let slot = &leaf.slots[slot];
            (slot.around | bit(slot.length)) & up_to(common) & up_to(key.length) & !bit(key.length)
        });
        let (leaf, slot) = before.map_or((0, 0), |(leaf, slot)| (leaf, slot + 1));
        if self.leaves.is_empty() {
            self.leaves.push(Arc::default());
            self.firsts.push(key);
        }
        let slots = Arc::make_mut(&mut self.leaves[leaf]);
        slots.starts.insert(slot, key.start);
        let new = Slot {
            length: key.length,
            around,
            standing,
        };
        slots.outermost.insert(slot, new.outermost());
        slots.slots.insert(slot, new);
        self.firsts[leaf] = self.leaves[leaf].key(0);
        self.mark_inside(key, (leaf, slot + 1), true);
        self.split(leaf);
    }

    fn remove(&mut self, key: Key<A>) {
        let Some((leaf, slot)) = self.exactly(key) else {
            return;
        };
        self.mark_inside(key, (leaf, slot + 1), false);
        let slots = Arc::make_mut(&mut self.leaves[leaf]);
        slots.starts.remove(slot);
        slots.outermost.remove(slot);
        slots.slots.remove(slot);
        if slots.starts.is_empty() {
            self.leaves.remove(leaf);
            self.firsts.remove(leaf);
        } else {
            self.firsts[leaf] = self.leaves[leaf].key(0);
        }
    }

    /// Tells all prefixes inside `key`, which come right behind it, that it encloses them, or no
    /// longer does.
    fn mark_inside(&mut self, key: Key<A>, from: Place, encloses: bool) {
        let (mut leaf, mut slot) = from;
        while leaf < self.leaves.len() {
            if slot >= self.leaves[leaf].starts.len() {
                (leaf, slot) = (leaf + 1, 0);
                continue;
            }
            if !key.contains(self.leaves[leaf].starts[slot]) {
                return;
            }
            let slots = Arc::make_mut(&mut self.leaves[leaf]);
            let inside = &mut slots.slots[slot];
            if encloses {
                inside.around |= bit(key.length);
            } else {
                inside.around &= !bit(key.length);
            }
            slots.outermost[slot] = inside.outermost();
            slot += 1;
        }
    }

    fn split(&mut self, leaf: usize) {
        if self.leaves[leaf].starts.len() <= LEAF {
            return;
        }
        let lower = Arc::make_mut(&mut self.leaves[leaf]);
        let upper = Leaf {
            starts: lower.starts.split_off(LEAF / 2),
            outermost: lower.outermost.split_off(LEAF / 2),
            slots: lower.slots.split_off(LEAF / 2),
        };
        self.firsts.insert(leaf + 1, upper.key(0));
        self.leaves.insert(leaf + 1, Arc::new(upper));
    }

    /// The last one that is not behind `key`.
    fn before(&self, key: Key<A>) -> Option<Place> {
        let leaf = self.firsts.partition_point(|first| *first <= key);
        let leaf = leaf.checked_sub(1)?;
        let Leaf { starts, slots, .. } = &*self.leaves[leaf];
        let mut end = starts.partition_point(|start| *start <= key.start);
        while end > 0 && starts[end - 1] == key.start && slots[end - 1].length > key.length {
            end -= 1;
        }
        let slot = end.checked_sub(1)?;
        Some((leaf, slot))
    }

    fn exactly(&self, key: Key<A>) -> Option<Place> {
        let (leaf, slot) = self.before(key)?;
        (self.leaves[leaf].key(slot) == key).then_some((leaf, slot))
    }

    fn iter(&self, after: Option<Key<A>>) -> impl Iterator<Item = &Arc<Standing>> {
        let (first, skip) = match after.map(|key| self.before(key)) {
            Some(Some((leaf, slot))) => (leaf, slot + 1),
            _ => (0, 0),
        };
        let slots = self.leaves[first..].iter().flat_map(|leaf| &leaf.slots);
        slots.skip(skip).map(|slot| &slot.standing)
    }

    fn len(&self) -> usize {
        self.leaves.iter().map(|leaf| leaf.starts.len()).sum()
    }
}

impl<A> Default for Family<A> {
    fn default() -> Self {
        Self {
            firsts: Vec::new(),
            leaves: Vec::new(),
        }
    }
}

impl<A: Copy> Leaf<A> {
    fn key(&self, slot: usize) -> Key<A> {
        Key::new(self.starts[slot], self.slots[slot].length)
    }
}

impl<A> Default for Leaf<A> {
    fn default() -> Self {
        Self {
            starts: Vec::new(),
            outermost: Vec::new(),
            slots: Vec::new(),
        }
    }
}

impl Slot {
    fn outermost(&self) -> u8 {
        (self.around.trailing_zeros() as u8).min(self.length)
    }
}

impl<A> Key<A> {
    const fn new(start: A, length: u8) -> Self {
        Self { start, length }
    }
}

impl<A: Bits> Key<A> {
    fn contains(&self, start: A) -> bool {
        self.start.in_common(start) >= self.length
    }
}

/// A prefix of 128 bits encloses nothing, and needs no bit.
const fn bit(length: u8) -> u128 {
    if length < 128 { 1 << length } else { 0 }
}

/// The bits of this length and all that are shorter.
const fn up_to(length: u8) -> u128 {
    if length < 127 {
        (1 << (length + 1)) - 1
    } else {
        u128::MAX
    }
}

#[cfg(test)]
mod tests;
