//! A place among siblings becomes a rank.

use std::ops::Bound::{self, Excluded, Unbounded};

use super::{Backlog, Change, Id, Lane, Place, Refusal, Undecided, WorkItem, rank};

impl Backlog {
    /// The rank of `place` in `lane`, and the rebalancing it needs first. `moving` is the item that
    /// is to stand there if it is one of the siblings already: it is no neighbour of itself.
    pub(super) fn make_place(
        &self,
        lane: Lane,
        place: Place,
        moving: Option<&WorkItem>,
    ) -> Result<(Vec<Change>, u64), Undecided> {
        let stays = moving
            .filter(|item| item.lane() == lane)
            .map(|item| item.rank);
        let anchor = match place.neighbour() {
            None => None,
            Some(id) => match self.item(id).filter(|item| item.lane() == lane) {
                Some(neighbour) => Some(neighbour.rank),
                None if self.item(id).is_some() => {
                    return Err(Refusal::no_neighbour(id, lane).into());
                }
                None => {
                    return Err(Refusal::NotFound {
                        what: "neighbour",
                        id,
                    }
                    .into());
                }
            },
        };
        let others = |range: (Bound<u64>, Bound<u64>)| {
            let ranks = self.ranks(lane).into_iter();
            ranks
                .flat_map(move |lane| lane.range(range))
                .map(|(rank, _)| *rank)
        };
        let first = |from| others((from, Unbounded)).find(|rank| stays != Some(*rank));
        let last = |to| others((Unbounded, to)).rfind(|rank| stays != Some(*rank));
        let (below, above) = match (place, anchor) {
            (Place::First, _) => (None, first(Unbounded)),
            (Place::After(_), Some(anchor)) => (Some(anchor), first(Excluded(anchor))),
            (Place::Before(_), Some(anchor)) => (last(Excluded(anchor)), Some(anchor)),
            // `anchor` is there whenever the place has a neighbour.
            (Place::Last | Place::After(_) | Place::Before(_), _) => (last(Unbounded), None),
        };
        // It stands there already: nothing to do, not even a new rank.
        if let Some(rank) = stays
            && below.is_none_or(|below| below < rank)
            && above.is_none_or(|above| rank < above)
        {
            return Ok((Vec::new(), rank));
        }
        if let Some(rank) = rank::between(below, above) {
            return Ok((Vec::new(), rank));
        }
        if !self.knows_whole(lane) {
            return Err(Undecided::LaneNeeded(lane));
        }
        // The moved item keeps its old rank until it moves, so it is spread like the others.
        let all = self.ranks(lane).cloned().unwrap_or_default();
        let ranks: Vec<u64> = all.keys().copied().collect();
        let at = ranks.partition_point(|rank| above.is_none_or(|above| *rank < above));
        let (window, spread) = rank::make_room(&ranks, at);
        let ids = ranks[window].iter().map(|rank| all[rank]);
        let moved = Change::Rebalanced {
            parent: lane.parent,
            ranks: ids.zip(spread).collect(),
        };
        let mut roomy = self.clone_lane(lane);
        roomy.apply(lane.project, 0, &moved);
        let moving = moving.and_then(|item| roomy.item(item.id));
        let (none, rank) = roomy.make_place(lane, place, moving)?;
        debug_assert!(none.is_empty(), "make_room leaves room");
        Ok((vec![moved], rank))
    }

    /// A backlog with nothing but the siblings of `lane`.
    fn clone_lane(&self, lane: Lane) -> Self {
        let mut copy = Self::default();
        for (rank, id) in self.ranks(lane).into_iter().flatten() {
            copy.insert_rank(lane, *rank, *id);
            if let Some(item) = self.item(*id) {
                copy.insert_item(item.clone());
            }
        }
        copy
    }
}

/// The rank that a rebalancing among `changes` gave an item.
pub(super) fn reranked(changes: &[Change], id: Id) -> Option<u64> {
    changes.iter().find_map(|change| match change {
        Change::Rebalanced { ranks, .. } => ranks
            .iter()
            .find(|(moved, _)| *moved == id)
            .map(|(_, rank)| *rank),
        _ => None,
    })
}
