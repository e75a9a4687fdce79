use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::block::{Effect, Order};

fn standing(prefix: Cidr) -> Arc<Standing> {
    Arc::new(Standing {
        entry: Order::on(prefix).at(0, Effect::Block),
        hits: Arc::default(),
    })
}

fn found(prefixes: &Prefixes, addr: IpAddr) -> Vec<Cidr> {
    let around = prefixes.around(addr);
    around.map(|standing| standing.entry.prefix).collect()
}

/// Of a small space, so that prefixes nest and meet.
fn addr(v4: bool, number: u8) -> IpAddr {
    let spread = u32::from(number & 0xf0) << 24 | u32::from(number & 0x0f);
    if v4 {
        Ipv4Addr::from_bits(spread).into()
    } else {
        IpAddr::V6((u128::from(spread) << 96 | u128::from(number & 3)).into())
    }
}

fn prefix() -> impl Strategy<Value = Cidr> {
    let length = prop_oneof![Just(0u8), 1u8..9, 24u8..33, Just(64), 126u8..129];
    (any::<bool>(), any::<u8>(), length)
        .prop_map(|(v4, number, length)| Cidr::around(addr(v4, number), length))
}

proptest! {
    /// Compared with a look at every prefix.
    #[test]
    fn what_contains_an_address_is_found_the_longest_first(
        changes in proptest::collection::vec((prefix(), any::<bool>()), 1..120),
        numbers in proptest::collection::vec((any::<bool>(), any::<u8>()), 1..40),
    ) {
        let (mut prefixes, mut model) = (Prefixes::default(), BTreeMap::new());
        for (prefix, insert) in changes {
            let before = prefixes.clone();
            if insert {
                prefixes.insert(prefix, standing(prefix));
                model.insert(prefix, ());
            } else {
                prefixes.remove(prefix);
                model.remove(&prefix);
            }
            prop_assert!(before.len().abs_diff(prefixes.len()) <= 1);
            prop_assert_eq!(prefixes.standing(prefix).is_some(), insert);
        }
        prop_assert_eq!(prefixes.len(), model.len());
        for (v4, number) in numbers {
            let addr = addr(v4, number);
            let mut expected: Vec<Cidr> =
                model.keys().filter(|prefix| prefix.contains(addr)).copied().collect();
            expected.sort_by_key(|prefix| std::cmp::Reverse(prefix.prefix()));
            prop_assert_eq!(found(&prefixes, addr), expected);
        }
        let all: Vec<Cidr> = prefixes.iter(None).map(|standing| standing.entry.prefix).collect();
        prop_assert!(all.iter().eq(model.keys()));
        for after in &all {
            let page: Vec<Cidr> =
                prefixes.iter(Some(*after)).map(|standing| standing.entry.prefix).collect();
            prop_assert!(page.iter().eq(model.keys().filter(|prefix| *prefix > after)));
        }
    }
}

#[test]
fn a_large_list_splits_into_leaves_and_a_wide_prefix_reaches_all_of_them() {
    let mut prefixes = Prefixes::default();
    let host = |number: u32| Cidr::from(IpAddr::from((number << 8).to_be_bytes()));
    for number in 0..5_000 {
        // Out of order.
        let prefix = host(number * 2_749 % 5_000);
        prefixes.insert(prefix, standing(prefix));
    }
    assert!(prefixes.v4.leaves.len() > 10);
    assert!(
        prefixes
            .v4
            .leaves
            .iter()
            .all(|leaf| leaf.starts.len() <= LEAF)
    );
    let wide = Cidr::around([0, 0, 0, 0].into(), 4);
    prefixes.insert(wide, standing(wide));
    for number in 0..5_000u32 {
        let inside = IpAddr::from((number << 8 | 1).to_be_bytes());
        assert_eq!(found(&prefixes, inside), [wide]);
        assert_eq!(
            found(&prefixes, host(number).network()),
            [host(number), wide]
        );
    }
    prefixes.remove(wide);
    assert!((0..5_000u32).all(|number| {
        found(&prefixes, IpAddr::from((number << 8 | 1).to_be_bytes())).is_empty()
    }));
    for number in 0..5_000 {
        prefixes.remove(host(number));
    }
    assert!(prefixes.v4.leaves.is_empty() && prefixes.v4.firsts.is_empty());
}

#[test]
fn a_change_copies_one_leaf_of_many() {
    let mut prefixes = Prefixes::default();
    let host = |number: u32| Cidr::from(IpAddr::from(number.to_be_bytes()));
    for number in 0..100_000 {
        prefixes.insert(host(number * 3), standing(host(number * 3)));
    }
    let before = prefixes.clone();
    prefixes.insert(host(7), standing(host(7)));
    let pairs = before.v4.leaves.iter().zip(&prefixes.v4.leaves);
    let copied = pairs.filter(|(a, b)| !Arc::ptr_eq(a, b)).count();
    assert!(before.v4.leaves.len() > 100);
    assert_eq!(copied, 1);
    assert!(found(&before, host(7).network()).is_empty());
}
