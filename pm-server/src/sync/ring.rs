use std::collections::VecDeque;

use bytes::Bytes;

use crate::domain::Id;

/// How much of the log a [`Hub`](super::Hub) keeps at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLimits {
    /// Most events.
    pub events: usize,
    /// Most bytes of encoded packets.
    pub bytes: usize,
}

impl Default for RingLimits {
    /// 4,096 events or 4 MiB.
    fn default() -> Self {
        Self {
            events: 4096,
            bytes: 4 << 20,
        }
    }
}

/// The newest events of a tenant, each encoded once, as a packet.
#[derive(Debug)]
pub(super) struct Ring {
    limits: RingLimits,
    slots: VecDeque<Slot>,
    bytes: usize,
    /// The newest rev that was never in it or no longer is.
    floor: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) rev: u64,
    pub(super) project: Id,
    pub(super) packet: Bytes,
}

impl Ring {
    /// A ring that begins after `head`.
    pub(super) fn new(head: u64, limits: RingLimits) -> Self {
        Self {
            limits,
            slots: VecDeque::new(),
            bytes: 0,
            floor: head,
        }
    }

    /// The newest rev that went through it.
    pub(super) fn head(&self) -> u64 {
        self.slots.back().map_or(self.floor, |slot| slot.rev)
    }

    /// Adds the next event. If it is not the next one, what came between was never seen here, and
    /// whoever has not passed it must read the log.
    pub(super) fn push(&mut self, slot: Slot) {
        if slot.rev != self.head() + 1 {
            self.slots.clear();
            self.bytes = 0;
            self.floor = slot.rev - 1;
        }
        self.bytes += slot.packet.len();
        self.slots.push_back(slot);
        // The newest one stays, however large: everybody who is up to date needs it.
        while self.slots.len() > 1
            && (self.slots.len() > self.limits.events || self.bytes > self.limits.bytes)
        {
            if let Some(oldest) = self.slots.pop_front() {
                self.bytes -= oldest.packet.len();
                self.floor = oldest.rev;
            }
        }
    }

    /// All events after `rev`, or `None` if some of them are no longer here.
    pub(super) fn after(&self, rev: u64) -> Option<impl Iterator<Item = &Slot>> {
        if rev < self.floor {
            return None;
        }
        // Revs are dense, so the distance is the index.
        let skipped = usize::try_from(rev - self.floor).unwrap_or(usize::MAX);
        Some(self.slots.iter().skip(skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(rev: u64, size: usize) -> Slot {
        Slot {
            rev,
            project: Id::from_bytes([1; 16]),
            packet: vec![0; size].into(),
        }
    }

    fn revs(ring: &Ring, after: u64) -> Option<Vec<u64>> {
        ring.after(after)
            .map(|slots| slots.map(|slot| slot.rev).collect())
    }

    #[test]
    fn what_fell_off_is_not_passed_over() {
        let mut ring = Ring::new(
            10,
            RingLimits {
                events: 3,
                bytes: 1000,
            },
        );
        assert_eq!(revs(&ring, 10), Some(vec![]));
        assert_eq!(revs(&ring, 9), None);
        for rev in 11..=15 {
            ring.push(slot(rev, 10));
        }
        assert_eq!(ring.head(), 15);
        assert_eq!(revs(&ring, 12), Some(vec![13, 14, 15]));
        assert_eq!(revs(&ring, 14), Some(vec![15]));
        assert_eq!(revs(&ring, 15), Some(vec![]));
        assert_eq!(revs(&ring, 11), None);
    }

    #[test]
    fn a_hole_sends_everybody_before_it_to_the_log() {
        let mut ring = Ring::new(0, RingLimits::default());
        ring.push(slot(1, 10));
        ring.push(slot(5, 10));
        assert_eq!(revs(&ring, 1), None);
        assert_eq!(revs(&ring, 4), Some(vec![5]));
    }

    #[test]
    fn bytes_are_bounded_too_but_the_newest_event_stays() {
        let mut ring = Ring::new(
            0,
            RingLimits {
                events: 100,
                bytes: 100,
            },
        );
        ring.push(slot(1, 60));
        ring.push(slot(2, 60));
        assert_eq!(revs(&ring, 1), Some(vec![2]));
        assert_eq!(revs(&ring, 0), None);
        ring.push(slot(3, 500));
        assert_eq!(revs(&ring, 2), Some(vec![3]));
        assert_eq!(ring.bytes, 500);
    }
}
