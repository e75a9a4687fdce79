use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::{
    store::Scope,
    sync::{Cursors, Delivery, Hub},
};

/// What is to be sent: the events that the cursors have not passed, and replies among them.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Before everything else, in order: what the events that follow build on.
    first: VecDeque<Bytes>,
    replies: VecDeque<Reply>,
    goodbye: Goodbye,
}

/// The last packet of all.
#[derive(Debug, Default)]
enum Goodbye {
    #[default]
    NotYet,
    /// It goes out behind the replies.
    Waiting(Bytes),
    Said,
}

#[derive(Debug)]
struct Reply {
    /// It goes out behind every event up to this rev.
    after: u64,
    packet: Bytes,
}

/// What [`Outbox::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A message.
    Message(Bytes),
    /// Nothing.
    Nothing,
    /// Nothing before this stretch of the log was read.
    Behind {
        /// Of this scope.
        scope: Scope,
        /// After this rev.
        after: u64,
    },
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.first.len() + self.replies.len()
    }

    pub(super) fn push(&mut self, packet: Bytes) {
        self.push_after(0, packet);
    }

    /// Nothing follows a goodbye.
    pub(super) fn push_after(&mut self, after: u64, packet: Bytes) {
        if matches!(self.goodbye, Goodbye::NotYet) {
            self.replies.push_back(Reply { after, packet });
        }
    }

    /// Whether the last packet was taken.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.goodbye, Goodbye::Said)
    }

    /// Puts packets before everything that waits, behind those that were put there before.
    pub(super) fn push_first(&mut self, packets: impl IntoIterator<Item = Bytes>) {
        if !self.is_over() {
            self.first.extend(packets);
        }
    }

    /// Drops the replies that wait for events.
    pub(super) fn drop_waiting(&mut self) {
        self.replies.retain(|reply| reply.after == 0);
    }

    /// Ends with `packet`, behind the replies. Those that wait for events are dropped unless `answer`:
    /// whoever repeats a mutation gets its answer.
    pub(super) fn end(&mut self, packet: Bytes, answer: bool) {
        if !answer {
            self.drop_waiting();
        }
        self.goodbye = Goodbye::Waiting(packet);
    }

    /// The next message of about `budget` bytes: whole packets, at least one if one is due. `live` is
    /// `None` where no events can be delivered, and replies that wait for them go on waiting.
    pub(super) fn next(&mut self, mut live: Option<(&Hub, &mut Cursors)>, budget: usize) -> Next {
        let mut message = Joined::default();
        while message.len() < budget {
            if let Some(packet) = self.first.pop_front() {
                message.push(packet);
                continue;
            }
            match self.replies.front().map(|reply| reply.after) {
                Some(after) if after == 0 || passed(live.as_ref(), after) => {
                    let reply = self.replies.pop_front();
                    reply
                        .into_iter()
                        .for_each(|reply| message.push(reply.packet));
                    continue;
                }
                None if !matches!(self.goodbye, Goodbye::NotYet) => {
                    if let Goodbye::Waiting(last) =
                        std::mem::replace(&mut self.goodbye, Goodbye::Said)
                    {
                        message.push(last);
                    }
                    break;
                }
                Some(_) | None => {}
            }
            let Some((hub, cursors)) = &mut live else {
                break;
            };
            match hub.deliver(cursors, budget - message.len()) {
                Delivery::Events(events) => message.push(events),
                Delivery::UpToDate => break,
                Delivery::Behind { scope, after } if message.len() == 0 => {
                    return Next::Behind { scope, after };
                }
                Delivery::Behind { .. } => break,
            }
        }
        message.next()
    }
}

fn passed(live: Option<&(&Hub, &mut Cursors)>, after: u64) -> bool {
    live.is_some_and(|(_, cursors)| cursors.have_passed(after))
}

/// Packets end to end. A single one is passed on without a copy.
#[derive(Debug, Default)]
struct Joined {
    first: Bytes,
    all: BytesMut,
}

impl Joined {
    fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    fn push(&mut self, packet: Bytes) {
        if self.first.is_empty() {
            self.first = packet;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&packet);
    }

    fn next(self) -> Next {
        match (self.first.is_empty(), self.all.is_empty()) {
            (true, _) => Next::Nothing,
            (false, true) => Next::Message(self.first),
            (false, false) => Next::Message(self.all.freeze()),
        }
    }
}
