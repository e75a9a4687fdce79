//! Whether an address is kept out, of a hundred thousand prefixes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ip_network_table_deps_treebitmap::IpLookupTable;
use ipnet::{Ipv4Net, Ipv6Net};
use pm_core::{Cidr, Clock};
use pm_ratelimit::block::{BlockList, BlockStore, Cause, Effect, Entry};
use pm_ratelimit::guard::MemoryStore;
use pm_testing::drive;
use prefix_trie::PrefixMap;

use crate::harness::{Race, Rounds};

const ROUNDS: u64 = 1 << 20;
const PREFIXES: u64 = 100_000;
const DAY: i64 = 86_400_000_000;

/// What the n-th prefix is, and an address near it.
#[derive(Clone, Copy)]
struct List {
    prefix: fn(u64) -> Cidr,
    /// Whether its blocks end.
    ends: bool,
}

const V4: List = List {
    prefix: |number| {
        let random = mix(number);
        let length = match random % 128 {
            0..102 => 32,
            102..121 => 24,
            some => 16 + (some % 8) as u8,
        };
        let addr = (random >> 32) as u32;
        Cidr::around(addr.to_be_bytes().into(), length)
    },
    ends: false,
};

const V6: List = List {
    prefix: |number| {
        let random = mix(number);
        let length = match random % 128 {
            0..90 => 64,
            90..109 => 48,
            109..116 => 56,
            116..122 => 128,
            some => 32 + (some % 16) as u8,
        };
        // Of 1,024 blocks of 16 bits, as far as that goes.
        let addr = (0x2000 | u128::from(random >> 54)) << 112 | u128::from(mix(random)) << 48;
        Cidr::around(IpAddr::V6((addr | u128::from(random)).into()), length)
    },
    ends: false,
};

pub(super) fn v4_hit() -> Race {
    V4.race(|prefix, _| prefix.network()).ours_at_most(100.0)
}

pub(super) fn v4_hit_for_a_time() -> Race {
    let list = List { ends: true, ..V4 };
    list.race(|prefix, _| prefix.network())
}

pub(super) fn v4_miss() -> Race {
    V4.race(beside).ours_at_most(100.0)
}

pub(super) fn v6_hit() -> Race {
    V6.race(|prefix, _| prefix.network()).ours_at_most(100.0)
}

pub(super) fn v6_miss() -> Race {
    V6.race(beside).ours_at_most(100.0)
}

impl List {
    /// `addr` makes the address that is looked up of a prefix, and of a number.
    fn race(self, addr: fn(Cidr, u64) -> IpAddr) -> Race {
        let draw = move |round: u64| {
            let number = round.wrapping_mul(7_919) % PREFIXES;
            addr((self.prefix)(number), number)
        };
        let (ours, trie, bitmap) = (self.ours(), self.trie(), self.bitmap());
        Race::new(Rounds::new(ROUNDS, move |round| {
            ours.check(draw(round)).is_some()
        }))
        .against(
            "prefix-trie",
            Rounds::new(ROUNDS, move |round| trie.contains(draw(round))),
        )
        .against(
            "ip_network_table-deps-treebitmap",
            Rounds::new(ROUNDS, move |round| bitmap.contains(draw(round))),
        )
    }

    fn all(self) -> impl Iterator<Item = Cidr> {
        (0..PREFIXES).map(self.prefix)
    }

    fn ours(self) -> BlockList {
        let (store, clock) = (Arc::new(MemoryStore::new()), Clock::counter());
        let now = clock.wall_micros();
        let entries: Vec<Entry> = self
            .all()
            .map(|prefix| Entry {
                prefix,
                effect: Effect::Block,
                cause: Cause::Manual,
                reason: "".into(),
                actor: "".into(),
                since_micros: now,
                until_micros: self.ends.then_some(now + DAY),
                level: 0,
                forgotten_micros: i64::MAX,
                version: 0,
            })
            .collect();
        drive(Arc::clone(&store).impose(entries, now)).expect("memory takes them");
        let list = BlockList::builder().store(store).clock(clock).build();
        drive(list.synchronize()).expect("memory answers");
        list
    }

    fn trie(self) -> Trie {
        let mut trie = Trie::default();
        for prefix in self.all() {
            let length = prefix.prefix();
            match prefix.network() {
                IpAddr::V4(v4) => {
                    trie.v4.insert(Ipv4Net::new_assert(v4, length), ());
                }
                IpAddr::V6(v6) => {
                    trie.v6.insert(Ipv6Net::new_assert(v6, length), ());
                }
            }
        }
        trie
    }

    fn bitmap(self) -> Bitmap {
        let mut bitmap = Bitmap {
            v4: IpLookupTable::new(),
            v6: IpLookupTable::new(),
        };
        for prefix in self.all() {
            let length = u32::from(prefix.prefix());
            match prefix.network() {
                IpAddr::V4(v4) => bitmap.v4.insert(v4, length, ()),
                IpAddr::V6(v6) => bitmap.v6.insert(v6, length, ()),
            };
        }
        bitmap
    }
}

#[derive(Default)]
struct Trie {
    v4: PrefixMap<Ipv4Net, ()>,
    v6: PrefixMap<Ipv6Net, ()>,
}

impl Trie {
    fn contains(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(v4) => self.v4.get_lpm(&v4.into()).is_some(),
            IpAddr::V6(v6) => self.v6.get_lpm(&v6.into()).is_some(),
        }
    }
}

struct Bitmap {
    v4: IpLookupTable<Ipv4Addr, ()>,
    v6: IpLookupTable<Ipv6Addr, ()>,
}

impl Bitmap {
    fn contains(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(v4) => self.v4.longest_match(v4).is_some(),
            IpAddr::V6(v6) => self.v6.longest_match(v6).is_some(),
        }
    }
}

/// An address that has some bits in common with the prefix, and is not in it.
fn beside(prefix: Cidr, number: u64) -> IpAddr {
    let bit = number % u64::from(prefix.prefix());
    match prefix.network() {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() ^ 1 << 31 >> bit).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() ^ 1 << 127 >> bit).into()),
    }
}

/// Spreads a number; the same each time.
const fn mix(number: u64) -> u64 {
    let product = (number ^ 0x9e37_79b9_7f4a_7c15) as u128 * 0xd6e8_feb8_6659_fd93;
    let product = (product as u64 ^ (product >> 64) as u64) as u128 * 0xa076_1d64_78bd_642f;
    product as u64 ^ (product >> 64) as u64
}
