use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use pm_core::Clock;
use proptest::prelude::*;

use super::*;
use crate::block::{Effect, Order};

const NOW: i64 = 1_000;

/// What is said: with an effect, for ever or over already.
fn entry(prefix: Cidr, effect: Effect, is_over: bool) -> Entry {
    let mut entry = Order::on(prefix).at(0, effect);
    entry.until_micros = is_over.then_some(NOW);
    entry
}

fn clock() -> Clock {
    let (clock, time) = Clock::manual();
    let epoch = std::time::UNIX_EPOCH;
    time.set_wall(epoch + Duration::from_micros(NOW.unsigned_abs()));
    clock
}

/// The prefix that keeps an address out.
fn found(prefixes: &Prefixes, addr: IpAddr, clock: &Clock) -> Option<Cidr> {
    let mut search = Search::of(addr, clock);
    prefixes.show(&mut search);
    let (addr, slot) = search.found()?;
    Some(Cidr::around(addr, slot.length()))
}

/// The same by a look at everything that is said.
fn expected(said: &BTreeMap<Cidr, (Effect, bool)>, addr: IpAddr) -> Option<Cidr> {
    let in_force = said
        .iter()
        .filter(|(prefix, (_, is_over))| prefix.contains(addr) && !is_over);
    let of = |wanted| {
        let all = in_force
            .clone()
            .filter(move |(_, (effect, _))| *effect == wanted);
        all.map(|(prefix, _)| *prefix).max_by_key(Cidr::prefix)
    };
    of(Effect::Block).filter(|_| of(Effect::Allow).is_none())
}

/// Of a small space, so that prefixes nest and meet.
fn addr(v4: bool, number: u8) -> IpAddr {
    let spread = u32::from(number & 0xf0) << 24 | u32::from(number & 0x0f);
    if v4 {
        Ipv4Addr::from_bits(spread).into()
    } else {
        let low = u128::from(number & 3) << 62 | u128::from(number & 3);
        IpAddr::V6((u128::from(spread) << 96 | low).into())
    }
}

fn prefix() -> impl Strategy<Value = Cidr> {
    let length = prop_oneof![Just(0u8), 1u8..9, 24u8..33, 62u8..68, 126u8..129];
    (any::<bool>(), any::<u8>(), length)
        .prop_map(|(v4, number, length)| Cidr::around(addr(v4, number), length))
}

fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![
        6 => Just(Effect::Block),
        1 => Just(Effect::Allow),
        2 => Just(Effect::Lifted),
    ]
}

proptest! {
    /// Compared with a look at every prefix.
    #[test]
    fn the_longest_that_is_blocked_is_found_unless_one_is_allowed(
        changes in proptest::collection::vec((prefix(), effect(), any::<bool>(), any::<bool>()), 1..120),
        numbers in proptest::collection::vec((any::<bool>(), any::<u8>()), 1..40),
    ) {
        let (mut prefixes, mut said, clock) = (Prefixes::default(), BTreeMap::new(), clock());
        for (prefix, effect, is_over, forget) in changes {
            if forget {
                prefixes.remove(prefix);
                said.remove(&prefix);
            } else {
                prefixes.replace(&entry(prefix, effect, is_over));
                said.insert(prefix, (effect, is_over));
            }
            for (prefix, (effect, _)) in &said {
                let slot = prefixes.exactly(*prefix);
                prop_assert_eq!(slot.is_some(), *effect != Effect::Lifted);
                prop_assert!(slot.is_none_or(|slot| slot.allows() == (*effect == Effect::Allow)));
            }
        }
        for (v4, number) in numbers {
            let addr = addr(v4, number);
            prop_assert_eq!(found(&prefixes, addr, &clock), expected(&said, addr), "{}", addr);
        }
    }

    /// All bits of an address matter, wherever a prefix ends.
    #[test]
    fn an_address_is_in_a_prefix_as_far_as_it_says(
        bits in any::<u128>(),
        length in 0u8..=128,
        other in 0u32..128,
        v4 in any::<bool>(),
    ) {
        let make = |bits: u128| if v4 {
            IpAddr::from(((bits >> 96) as u32).to_be_bytes())
        } else {
            IpAddr::V6(bits.into())
        };
        // What IPv6 maps is IPv4.
        let bits = bits | 1 << 127;
        let prefix = Cidr::around(make(bits), length);
        let mut prefixes = Prefixes::default();
        prefixes.replace(&entry(prefix, Effect::Block, false));
        for addr in [make(bits), make(bits ^ 1 << (127 - other))] {
            let expected = prefix.contains(addr).then_some(prefix);
            prop_assert_eq!(found(&prefixes, addr, &clock()), expected, "{} in {}", addr, prefix);
        }
    }
}

/// Spread over all addresses.
fn host(number: u32) -> Cidr {
    Cidr::from(IpAddr::from(number.wrapping_mul(0x9e37_79b1).to_be_bytes()))
}

#[test]
fn a_large_list_comes_and_goes() {
    let (mut prefixes, clock) = (Prefixes::default(), clock());
    for number in 0..20_000 {
        prefixes.replace(&entry(host(number), Effect::Block, false));
    }
    let wide = Cidr::around([0, 0, 0, 0].into(), 1);
    prefixes.replace(&entry(wide, Effect::Block, false));
    for number in 0..40_000 {
        let addr = host(number).network();
        let expected = match number {
            0..20_000 => Some(host(number)),
            _ => Some(wide).filter(|wide| wide.contains(addr)),
        };
        assert_eq!(found(&prefixes, addr, &clock), expected);
    }
    prefixes.remove(wide);
    for number in 0..20_000 {
        let prefix = host(number);
        prefixes.remove(prefix);
        assert_eq!(found(&prefixes, prefix.network(), &clock), None);
        let next = host(number + 1);
        assert_eq!(prefixes.exactly(next).is_some(), number < 19_999);
    }
    assert!(prefixes.v4.is_empty());
}

#[test]
fn a_change_copies_one_shard_and_no_other_version() {
    let (mut prefixes, clock) = (Prefixes::default(), clock());
    for number in 0..10_000 {
        prefixes.replace(&entry(host(number), Effect::Block, false));
    }
    let (before, new) = (prefixes.clone(), host(10_000));
    prefixes.replace(&entry(new, Effect::Block, false));
    let pairs = before.v4.shards().iter().zip(prefixes.v4.shards());
    assert_eq!(pairs.filter(|(a, b)| !Arc::ptr_eq(a, b)).count(), 1);
    assert_eq!(found(&before, new.network(), &clock), None);
    assert_eq!(found(&prefixes, new.network(), &clock), Some(new));
}
