use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::watch;

use super::{
    Cursors, RingLimits,
    ring::{Ring, Slot},
};
use crate::{
    domain::Id,
    store::{Entry, Page, Position, Scope},
};

/// Where the events of one tenant come out: the newest are here, and whoever follows is woken.
///
/// No publisher waits for a follower and no follower has a queue: each reads with its own
/// [`Cursors`], at its own pace.
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    epoch: Id,
    ring: Mutex<Ring>,
    head: watch::Sender<u64>,
}

/// What is due to a follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Packets laid end to end, which is a packet; the cursors are past it.
    Events(Bytes),
    /// Nothing: everything was delivered.
    UpToDate,
    /// What comes next is no longer at hand: read the log of this scope after this rev, then
    /// [`Hub::deliver_page`].
    Behind {
        /// What to read.
        scope: Scope,
        /// After which rev.
        after: u64,
    },
}

impl Hub {
    /// A hub for a log that stands at `position`.
    #[must_use]
    pub fn new(position: Position, limits: RingLimits) -> Self {
        let ring = Mutex::new(Ring::new(position.rev, limits));
        let head = watch::Sender::new(position.rev);
        Self {
            shared: Arc::new(Shared {
                epoch: position.epoch,
                ring,
                head,
            }),
        }
    }

    /// The newest position that was published.
    #[must_use]
    pub fn head(&self) -> Position {
        Position {
            epoch: self.shared.epoch,
            rev: self.ring().head(),
        }
    }

    /// Wakes with every group of new events.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.shared.head.subscribe()
    }

    /// Makes entries that were committed visible. Entries it has already are passed over.
    pub fn publish(&self, entries: &[Entry]) {
        let head = {
            let mut ring = self.ring();
            for entry in entries {
                if entry.rev > ring.head() {
                    let packet = event_packet(&entry.event);
                    ring.push(Slot {
                        rev: entry.rev,
                        project: entry.project,
                        packet,
                    });
                }
            }
            ring.head()
        };
        self.shared.head.send_replace(head);
    }

    /// The next events that `cursors` have not passed, up to about `budget` bytes: whole packets,
    /// at least one if one is due.
    pub fn deliver(&self, cursors: &mut Cursors, budget: usize) -> Delivery {
        let Some((scope, after)) = cursors.last() else {
            return Delivery::UpToDate;
        };
        let ring = self.ring();
        let Some(slots) = ring.after(after) else {
            return Delivery::Behind { scope, after };
        };
        let mut due = Due::new(budget);
        let mut seen = after;
        for slot in slots {
            if cursors.want(slot.project, slot.rev) && !due.take(&slot.packet) {
                break;
            }
            seen = slot.rev;
        }
        drop(ring);
        cursors.pass_all(seen);
        due.delivery()
    }

    /// The events of a page that the log gave for [`Delivery::Behind`], each a packet.
    pub fn deliver_page(&self, cursors: &mut Cursors, scope: Scope, page: &Page) -> Vec<Bytes> {
        let wanted = |entry: &&Entry| cursors.want(entry.project, entry.rev);
        let packets = page.entries.iter().filter(wanted);
        let packets = packets.map(|entry| event_packet(&entry.event)).collect();
        cursors.pass(scope, page.through);
        packets
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Nothing that runs under the lock can panic half-way through a change.
        self.shared
            .ring
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What goes into one delivery. A single packet is passed on as it is, without a copy.
struct Due {
    budget: usize,
    first: Bytes,
    joined: BytesMut,
}

impl Due {
    fn new(budget: usize) -> Self {
        Self {
            budget,
            first: Bytes::new(),
            joined: BytesMut::new(),
        }
    }

    /// Whether there was room.
    fn take(&mut self, packet: &Bytes) -> bool {
        if self.first.is_empty() {
            self.first = packet.clone();
            return true;
        }
        if self.joined.is_empty() {
            if self.first.len() + packet.len() > self.budget {
                return false;
            }
            self.joined.extend_from_slice(&self.first);
        } else if self.joined.len() + packet.len() > self.budget {
            return false;
        }
        self.joined.extend_from_slice(packet);
        true
    }

    fn delivery(self) -> Delivery {
        if self.first.is_empty() {
            Delivery::UpToDate
        } else if self.joined.is_empty() {
            Delivery::Events(self.first)
        } else {
            Delivery::Events(self.joined.freeze())
        }
    }
}

/// Wraps an encoded `Event` into `ServerPacket { frames: [ServerFrame { events: [event] }] }` without
/// decoding it: three nested length-delimited fields.
fn event_packet(event: &Bytes) -> Bytes {
    use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
    const FRAMES: u32 = 1;
    const EVENTS: u32 = 5;
    const EVENT: u32 = 1;
    let field = |tag, len: usize| key_len(tag) + encoded_len_varint(len as u64) + len;
    let events = field(EVENT, event.len());
    let frame = field(EVENTS, events);
    let mut packet = BytesMut::with_capacity(field(FRAMES, frame));
    for (tag, len) in [(FRAMES, frame), (EVENTS, events), (EVENT, event.len())] {
        encode_key(tag, WireType::LengthDelimited, &mut packet);
        encode_varint(len as u64, &mut packet);
    }
    packet.extend_from_slice(event);
    packet.freeze()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::r#gen as pb;

    fn id(byte: u8) -> Id {
        Id::from_bytes([byte; 16])
    }

    fn entry(rev: u64, project: u8) -> Entry {
        let event = pb::Event {
            rev,
            prev: rev - 1,
            ..pb::Event::default()
        };
        Entry {
            rev,
            project: id(project),
            event: event.encode_to_vec().into(),
        }
    }

    fn hub(limits: RingLimits) -> Hub {
        Hub::new(
            Position {
                epoch: id(9),
                rev: 0,
            },
            limits,
        )
    }

    fn revs(delivery: &Delivery) -> Vec<u64> {
        let Delivery::Events(bytes) = delivery else {
            panic!("no events: {delivery:?}")
        };
        let packet = pb::ServerPacket::decode(bytes.clone()).unwrap();
        let events = packet
            .frames
            .into_iter()
            .flat_map(|frame| match frame.body {
                Some(pb::server_frame::Body::Events(events)) => events.events,
                other => panic!("not events: {other:?}"),
            });
        events.map(|event| event.rev).collect()
    }

    #[test]
    fn an_event_is_wrapped_as_the_schema_would() {
        for size in [0, 1, 100, 200, 20_000] {
            let event = pb::Event {
                actor: "x".repeat(size),
                ..pb::Event::default()
            };
            let frame = pb::ServerFrame {
                id: 0,
                body: Some(pb::server_frame::Body::Events(pb::Events {
                    events: vec![event.clone()],
                })),
            };
            let wanted = pb::ServerPacket {
                frames: vec![frame],
            }
            .encode_to_vec();
            assert_eq!(event_packet(&event.encode_to_vec().into()), wanted);
        }
    }

    #[test]
    fn every_follower_gets_its_scopes_once_and_in_order() {
        let hub = hub(RingLimits::default());
        hub.publish(&[entry(1, 1), entry(2, 2), entry(3, 1)]);
        let mut one = Cursors::default();
        one.follow(Scope::Project(id(1)), 0);
        assert_eq!(revs(&hub.deliver(&mut one, 9999)), [1, 3]);
        assert_eq!(hub.deliver(&mut one, 9999), Delivery::UpToDate);
        let mut both = Cursors::default();
        both.follow(Scope::Project(id(2)), 1);
        both.follow(Scope::Project(id(1)), 0);
        assert_eq!(
            revs(&hub.deliver(&mut both, 9999)),
            [1, 2, 3],
            "covered twice, told once"
        );
        hub.publish(&[entry(3, 1), entry(4, 2)]);
        assert_eq!(
            revs(&hub.deliver(&mut both, 9999)),
            [4],
            "published twice, told once"
        );
        assert!(both.have_passed(4) && !one.have_passed(4));
    }

    #[test]
    fn a_budget_bounds_a_delivery_but_never_starves_it() {
        let hub = hub(RingLimits::default());
        hub.publish(&[entry(1, 1), entry(2, 1), entry(3, 1)]);
        let mut cursors = Cursors::default();
        cursors.follow(Scope::Tenant, 0);
        let mut told = Vec::new();
        for _ in 0..3 {
            let delivery = hub.deliver(&mut cursors, 1);
            assert_eq!(revs(&delivery).len(), 1);
            told.extend(revs(&delivery));
        }
        assert_eq!(told, [1, 2, 3]);
    }

    #[test]
    fn whoever_fell_off_the_ring_is_sent_to_the_log_and_comes_back() {
        let hub = hub(RingLimits {
            events: 2,
            bytes: 9999,
        });
        let entries: Vec<_> = (1..=6).map(|rev| entry(rev, 1 + (rev % 2) as u8)).collect();
        hub.publish(&entries);
        let mut cursors = Cursors::default();
        let (slow, fast) = (Scope::Project(id(1)), Scope::Project(id(2)));
        cursors.follow(fast, 4);
        cursors.follow(slow, 1);
        assert_eq!(
            hub.deliver(&mut cursors, 9999),
            Delivery::Behind {
                scope: slow,
                after: 1
            }
        );
        let page = Page {
            entries: vec![entries[1].clone(), entries[3].clone()],
            through: 5,
        };
        let packets = hub.deliver_page(&mut cursors, slow, &page);
        let told: Vec<_> = packets
            .into_iter()
            .map(Delivery::Events)
            .flat_map(|one| revs(&one))
            .collect();
        assert_eq!(told, [2, 4]);
        assert_eq!(revs(&hub.deliver(&mut cursors, 9999)), [5, 6]);
    }
}
