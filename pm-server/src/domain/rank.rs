//! Where an item stands among its siblings: integers with gaps.
//!
//! The server assigns them, inside the one writer, from "after X" or "before Y": no two clients can
//! compute the same one. A gap that is used up is made again by moving a few neighbours
//! ([`make_room`]), and that is an event like any other.

use std::ops::Range;

/// The largest rank: what a signed 64-bit column holds.
pub const MAX: u64 = i64::MAX as u64;

/// Between an item and the next one added at an end: 32 insertions into the same gap, at worst,
/// before the neighbours must move.
const STEP: u64 = 1 << 32;

/// Smallest average gap that [`make_room`] leaves.
const MIN_GAP: u64 = 1 << 16;

/// A rank between two neighbours, `None` being the open end. `None` if there is no room.
#[must_use]
pub const fn between(below: Option<u64>, above: Option<u64>) -> Option<u64> {
    match (below, above) {
        (None, None) => Some(MAX / 2),
        (Some(below), None) if MAX - below > STEP => Some(below + STEP),
        (None, Some(above)) if above > STEP => Some(above - STEP),
        (Some(below), None) => middle(below, MAX + 1),
        (None, Some(above)) => middle(0, above),
        (Some(below), Some(above)) => middle(below, above),
    }
}

const fn middle(below: u64, above: u64) -> Option<u64> {
    if above.saturating_sub(below) < 2 {
        return None;
    }
    Some(below + (above - below) / 2)
}

/// New ranks for the smallest neighbourhood of the gap before `at` that has enough room: which of
/// `ranks` (ascending) get new ones, and which.
///
/// # Panics
///
/// If `at > ranks.len()`.
#[must_use]
pub fn make_room(ranks: &[u64], at: usize) -> (Range<usize>, Vec<u64>) {
    assert!(
        at <= ranks.len(),
        "the gap is before one of the ranks or after the last"
    );
    let mut reach = 8;
    loop {
        let start = at.saturating_sub(reach);
        let end = (at + reach).min(ranks.len());
        let below = if start == 0 { 0 } else { ranks[start - 1] };
        let above = ranks.get(end).copied().unwrap_or(MAX + 1);
        // One more than there are, for the item that is to come in.
        let gap = (above - below) / (end - start + 2) as u64;
        if gap >= MIN_GAP || (start == 0 && end == ranks.len()) {
            let spread = (1..).take(end - start).map(|i| below + gap * i).collect();
            return (start..end, spread);
        }
        reach *= 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ends_have_room_for_a_billion_items_each() {
        assert_eq!(between(None, None), Some(MAX / 2));
        const { assert!((MAX / 2) / STEP > 1_000_000_000) };
        assert_eq!(between(Some(5), None), Some(5 + STEP));
        assert_eq!(between(None, Some(STEP + 1)), Some(1));
        assert_eq!(between(None, Some(1)), None);
        assert_eq!(between(Some(MAX), None), None);
    }

    proptest! {
        #[test]
        fn a_rank_is_strictly_between(below in 0..=MAX, above in 0..=MAX) {
            prop_assume!(below < above);
            if let Some(rank) = between(Some(below), Some(above)) {
                prop_assert!(below < rank && rank < above);
            } else {
                prop_assert_eq!(above - below, 1);
            }
        }

        #[test]
        fn room_is_made_without_changing_the_order(
            mut ranks in proptest::collection::btree_set(1..2_000_u64, 1..600),
            at in any::<proptest::sample::Index>(),
        ) {
            ranks.insert(MAX);
            let mut ranks: Vec<u64> = ranks.into_iter().collect();
            let at = at.index(ranks.len() + 1);
            let (window, spread) = make_room(&ranks, at);
            ranks.splice(window, spread);
            prop_assert!(ranks.is_sorted_by(|a, b| a < b) && ranks[0] > 0);
            let below = at.checked_sub(1).map(|i| ranks[i]);
            prop_assert!(between(below, ranks.get(at).copied()).is_some());
        }
    }
}
