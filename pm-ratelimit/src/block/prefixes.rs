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
/// it, or encloses that. Most addresses are in none, and it takes one search to know. The sequence
/// is cut into leaves; a change copies the root and the one leaf that it touches.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefixes {
    v4: Family,
    v6: Family,
}

#[derive(Clone, Debug, Default)]
struct Family {
    /// What each leaf begins with.
    firsts: Vec<Key>,
    leaves: Vec<Arc<Leaf>>,
}

#[derive(Clone, Debug, Default)]
struct Leaf {
    /// Apart from the rest, because a search reads nothing else.
    starts: Vec<u128>,
    slots: Vec<Slot>,
}

#[derive(Clone, Debug)]
struct Slot {
    length: u8,
    /// Bit `n` says that a prefix of length `n` encloses this one.
    around: u128,
    standing: Arc<Standing>,
}

/// Network and length; bits are counted from the highest, also those of IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    start: u128,
    length: u8,
}

/// Leaf and slot.
type Place = (usize, usize);

/// An address or a network as bits from the highest on.
pub(super) fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Prefixes {
    /// What is said about the prefixes that contain the address, the longest first.
    pub(super) fn around(&self, addr: IpAddr) -> impl Iterator<Item = &Arc<Standing>> {
        self.family(addr).around(bits(addr))
    }

    pub(super) fn standing(&self, prefix: Cidr) -> Option<&Arc<Standing>> {
        let family = self.family(prefix.network());
        let (leaf, slot) = family.exactly(Key::of(prefix))?;
        Some(&family.leaves[leaf].slots[slot].standing)
    }

    pub(super) fn insert(&mut self, prefix: Cidr, standing: Arc<Standing>) {
        let family = self.family_mut(prefix);
        family.insert(Key::of(prefix), standing);
    }

    pub(super) fn remove(&mut self, prefix: Cidr) {
        self.family_mut(prefix).remove(Key::of(prefix));
    }

    /// In the order of the prefixes, from behind `after` on.
    pub(super) fn iter(&self, after: Option<Cidr>) -> impl Iterator<Item = &Arc<Standing>> {
        let behind = |family: &'_ Family, v4: bool| match after {
            Some(prefix) if prefix.network().is_ipv4() == v4 => Some(Key::of(prefix)),
            Some(prefix) if v4 && !prefix.network().is_ipv4() => family.last().map(|last| Key {
                length: u8::MAX,
                ..last
            }),
            _ => None,
        };
        let (v4, v6) = (behind(&self.v4, true), behind(&self.v6, false));
        self.v4.iter(v4).chain(self.v6.iter(v6))
    }

    pub(super) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    const fn family(&self, addr: IpAddr) -> &Family {
        match addr {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        }
    }

    const fn family_mut(&mut self, prefix: Cidr) -> &mut Family {
        match prefix.network() {
            IpAddr::V4(_) => &mut self.v4,
            IpAddr::V6(_) => &mut self.v6,
        }
    }
}

impl Family {
    fn around(&self, addr: u128) -> impl Iterator<Item = &Arc<Standing>> {
        let nearest = self.before(Key {
            start: addr,
            length: u8::MAX,
        });
        let (mut own, mut enclosing) = (None, 0);
        if let Some((leaf, at)) = nearest {
            let leaf = &self.leaves[leaf];
            let slot = &leaf.slots[at];
            let common = (leaf.starts[at] ^ addr).leading_zeros() as u8;
            own = (slot.length <= common).then_some(&slot.standing);
            enclosing = slot.around & up_to(common);
        }
        own.into_iter().chain(std::iter::from_fn(move || {
            let length = 127u8.checked_sub(enclosing.leading_zeros() as u8)?;
            enclosing &= !bit(length);
            let (leaf, slot) = self.exactly(Key::around(addr, length))?;
            Some(&self.leaves[leaf].slots[slot].standing)
        }))
    }

    fn insert(&mut self, key: Key, standing: Arc<Standing>) {
        if let Some((leaf, slot)) = self.exactly(key) {
            Arc::make_mut(&mut self.leaves[leaf]).slots[slot].standing = standing;
            return;
        }
        let before = self.before(key);
        let around = before.map_or(0, |(leaf, slot)| {
            let leaf = &self.leaves[leaf];
            let common = (leaf.starts[slot] ^ key.start).leading_zeros() as u8;
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
        slots.slots.insert(slot, new);
        self.firsts[leaf] = self.leaves[leaf].key(0);
        self.mark_inside(key, (leaf, slot + 1), true);
        self.split(leaf);
    }

    fn remove(&mut self, key: Key) {
        let Some((leaf, slot)) = self.exactly(key) else {
            return;
        };
        self.mark_inside(key, (leaf, slot + 1), false);
        let slots = Arc::make_mut(&mut self.leaves[leaf]);
        slots.starts.remove(slot);
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
    fn mark_inside(&mut self, key: Key, from: Place, encloses: bool) {
        let (mut leaf, mut slot) = from;
        while leaf < self.leaves.len() {
            if slot >= self.leaves[leaf].starts.len() {
                (leaf, slot) = (leaf + 1, 0);
                continue;
            }
            if !key.contains(self.leaves[leaf].starts[slot]) {
                return;
            }
            let inside = &mut Arc::make_mut(&mut self.leaves[leaf]).slots[slot];
            if encloses {
                inside.around |= bit(key.length);
            } else {
                inside.around &= !bit(key.length);
            }
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
            slots: lower.slots.split_off(LEAF / 2),
        };
        self.firsts.insert(leaf + 1, upper.key(0));
        self.leaves.insert(leaf + 1, Arc::new(upper));
    }

    /// The last one that is not behind `key`.
    fn before(&self, key: Key) -> Option<Place> {
        let leaf = self.firsts.partition_point(|first| *first <= key);
        let leaf = leaf.checked_sub(1)?;
        let Leaf { starts, slots } = &*self.leaves[leaf];
        let mut end = starts.partition_point(|start| *start <= key.start);
        while end > 0 && starts[end - 1] == key.start && slots[end - 1].length > key.length {
            end -= 1;
        }
        let slot = end.checked_sub(1)?;
        Some((leaf, slot))
    }

    fn exactly(&self, key: Key) -> Option<Place> {
        let (leaf, slot) = self.before(key)?;
        (self.leaves[leaf].key(slot) == key).then_some((leaf, slot))
    }

    fn last(&self) -> Option<Key> {
        let leaf = self.leaves.last()?;
        Some(leaf.key(leaf.starts.len() - 1))
    }

    fn iter(&self, after: Option<Key>) -> impl Iterator<Item = &Arc<Standing>> {
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

impl Leaf {
    fn key(&self, slot: usize) -> Key {
        Key {
            start: self.starts[slot],
            length: self.slots[slot].length,
        }
    }
}

impl Key {
    fn of(prefix: Cidr) -> Self {
        Self {
            start: bits(prefix.network()),
            length: prefix.prefix(),
        }
    }

    /// The prefix of this length around an address.
    fn around(addr: u128, length: u8) -> Self {
        let mask = !u128::MAX.checked_shr(length.into()).unwrap_or(0);
        Self {
            start: addr & mask,
            length,
        }
    }

    const fn contains(&self, start: u128) -> bool {
        (self.start ^ start).leading_zeros() >= self.length as u32
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
