use std::array;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;

use pm_core::Cidr;

use super::Entry;
use super::family::Family;
use super::search::Search;
use super::slot::Slot;

/// All prefixes that have an effect: an immutable value of which the next version shares almost
/// everything.
///
/// A prefix is found by the hash of its *beginning*: its bits but for the last one to three, so that
/// their number is a multiple of four. An address is looked up by each beginning of its own that is as
/// long as that of any prefix. Neither how many prefixes there are nor how they nest matters: no more
/// than 15 have the same beginning, and of a length that nobody has said anything about, nothing is
/// asked.
///
/// What is read for that is small: of a hundred thousand prefixes, 0.3 MB to find that there is nothing,
/// and 3 MB more for what there is. So it is in the cache of a core, or near it.
#[derive(Clone, Debug)]
pub(super) struct Prefixes {
    /// Addresses of IPv4 are the higher half of a number.
    v4: Family<u64>,
    /// Of IPv6, up to 64 bits long: most are.
    v6: Family<u64>,
    longer: Family<u128>,
}

impl Prefixes {
    /// Shows what is said about prefixes that contain the address.
    #[inline]
    pub(super) fn show<'a>(&'a self, search: &mut Search<'a>) {
        match search.addr() {
            IpAddr::V4(v4) => self.v4.show(high(v4.to_bits()), search),
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                self.longer.show(bits, search);
                self.v6.show((bits >> 64) as u64, search);
            }
        }
    }

    /// What is said about exactly this prefix.
    pub(super) fn exactly(&self, prefix: Cidr) -> Option<&Slot> {
        let length = prefix.prefix();
        match prefix.network() {
            IpAddr::V4(v4) => self.v4.exactly(high(v4.to_bits()), length),
            IpAddr::V6(v6) if length <= 64 => self.v6.exactly((v6.to_bits() >> 64) as u64, length),
            IpAddr::V6(v6) => self.longer.exactly(v6.to_bits(), length),
        }
    }

    /// Takes the place of what was said about the same prefix.
    pub(super) fn replace(&mut self, entry: &Entry) {
        let slot = Slot::of(entry);
        match entry.prefix.network() {
            IpAddr::V4(v4) => self.v4.replace(high(v4.to_bits()), slot),
            IpAddr::V6(v6) if slot.length() <= 64 => {
                self.v6.replace((v6.to_bits() >> 64) as u64, slot);
            }
            IpAddr::V6(v6) => self.longer.replace(v6.to_bits(), slot),
        }
    }

    pub(super) fn remove(&mut self, prefix: Cidr) {
        let length = prefix.prefix();
        match prefix.network() {
            IpAddr::V4(v4) => self.v4.remove(high(v4.to_bits()), length),
            IpAddr::V6(v6) if length <= 64 => {
                self.v6.remove((v6.to_bits() >> 64) as u64, length);
            }
            IpAddr::V6(v6) => self.longer.remove(v6.to_bits(), length),
        }
    }
}

impl Default for Prefixes {
    fn default() -> Self {
        let random = RandomState::new();
        let seeds = array::from_fn(|number| random.hash_one(number));
        Self {
            v4: Family::new(seeds),
            v6: Family::new(seeds),
            longer: Family::new(seeds),
        }
    }
}

const fn high(v4: u32) -> u64 {
    (v4 as u64) << 32
}

#[cfg(test)]
mod tests;
