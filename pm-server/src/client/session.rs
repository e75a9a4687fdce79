use std::{
    collections::{HashMap, VecDeque},
    fmt,
};

use bytes::{Bytes, BytesMut};
use prost::Message;

use super::{Answer, Error, Goodbye, Incoming, Options, Part};
use crate::{
    r#gen::{self as pb, client_frame::Body as ClientBody, server_frame::Body as ServerBody},
    store::{Position, Scope},
    wire::{encode, event},
};

/// Frames leave together until they are this much: a write costs the same whatever its size.
const MESSAGE_BYTES: usize = 16 * 1024;
/// What a server takes that has not said so yet.
const DEFAULT_MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// What an id was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Hello,
    Mutation,
    Subscription,
}

/// One conversation with a server, without a socket: queue frames, [`take`](Self::take) messages,
/// hand in what was [`received`](Self::receive), and see what came with [`next`](Self::next).
pub struct Session {
    last_id: u32,
    asked: HashMap<u32, Asked>,
    unanswered_mutations: usize,
    max_message_bytes: usize,
    full: VecDeque<Bytes>,
    open: BytesMut,
    incoming: VecDeque<Incoming>,
    goodbye: Option<Goodbye>,
}

impl Session {
    /// A conversation that begins with hello.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let mut session = Self {
            last_id: 0,
            asked: HashMap::new(),
            unanswered_mutations: 0,
            max_message_bytes: DEFAULT_MAX_MESSAGE_BYTES,
            full: VecDeque::new(),
            open: BytesMut::new(),
            incoming: VecDeque::new(),
            goodbye: None,
        };
        let hello = ClientBody::Hello(pb::Hello {
            token: options.token.expose().to_owned(),
            tenant: options.tenant.clone(),
            client: options.client.clone(),
        });
        let id = session.unused_id();
        session.asked.insert(id, Asked::Hello);
        session.push(&frame(id, hello));
        session
    }

    /// Queues one change and returns the id that its answer will have.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], and nothing is queued.
    pub fn mutate(&mut self, mutation: pb::Mutate) -> Result<u32, Error> {
        let id = self.ask(Asked::Mutation, ClientBody::Mutate(mutation))?;
        self.unanswered_mutations += 1;
        Ok(id)
    }

    /// Queues a request for all events of a scope: those after `since`, or those after a snapshot
    /// that comes first. Returns the id that its answer will have.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], and nothing is queued.
    pub fn subscribe(&mut self, scope: Scope, since: Option<Position>) -> Result<u32, Error> {
        let subscribe = pb::Subscribe {
            project_id: scope_bytes(scope),
            since: since.map(|position| pb::Position {
                epoch: encode::id(position.epoch),
                rev: position.rev,
            }),
        };
        self.ask(Asked::Subscription, ClientBody::Subscribe(subscribe))
    }

    /// Queues the end of a subscription and returns the id that its answer will have.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], and nothing is queued.
    pub fn unsubscribe(&mut self, scope: Scope) -> Result<u32, Error> {
        let unsubscribe = pb::Unsubscribe {
            project_id: scope_bytes(scope),
        };
        self.ask(Asked::Subscription, ClientBody::Unsubscribe(unsubscribe))
    }

    /// The next message to send, or `None` if nothing is queued. Frames that were queued one after
    /// the other leave together.
    pub fn take(&mut self) -> Option<Bytes> {
        if let Some(message) = self.full.pop_front() {
            return Some(message);
        }
        (!self.open.is_empty()).then(|| self.open.split().freeze())
    }

    /// Whether something is queued.
    #[must_use]
    pub fn has_queued(&self) -> bool {
        !self.full.is_empty() || !self.open.is_empty()
    }

    /// Takes in a message of the server.
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`]; the conversation makes no sense from there on.
    pub fn receive(&mut self, message: Bytes) -> Result<(), Error> {
        let packet = pb::ServerPacket::decode(message)
            .map_err(|_| Error::Protocol("a message that is not a packet"))?;
        packet
            .frames
            .into_iter()
            .try_for_each(|frame| self.take_in(frame))
    }

    /// What came, one thing at a time, in order.
    #[allow(clippy::should_implement_trait)] // more comes after a `None`
    pub fn next(&mut self) -> Option<Incoming> {
        self.incoming.pop_front()
    }

    /// How many changes are on their way: sent or queued, and not yet answered.
    #[must_use]
    pub const fn in_flight(&self) -> usize {
        self.unanswered_mutations
    }

    /// What the server said before it closed, if it did.
    #[must_use]
    pub const fn goodbye(&self) -> Option<&Goodbye> {
        self.goodbye.as_ref()
    }

    fn take_in(&mut self, pb::ServerFrame { id, body }: pb::ServerFrame) -> Result<(), Error> {
        match body {
            Some(ServerBody::Welcome(welcome)) => {
                if self.asked.remove(&id) != Some(Asked::Hello) {
                    return Err(Error::Protocol("a welcome without a hello"));
                }
                let max = welcome.limits.as_ref().map(|l| l.max_message_bytes);
                if let Some(max) = max.and_then(|max| usize::try_from(max).ok()) {
                    self.max_message_bytes = if max == 0 { usize::MAX } else { max };
                }
                self.incoming.push_back(Incoming::Welcome(welcome.into()));
            }
            Some(ServerBody::Ok(ok)) => self.answered(id, Ok(Box::new(ok)))?,
            Some(ServerBody::Error(error)) if id == 0 => {
                self.incoming.push_back(Incoming::Rejected(error.into()));
            }
            Some(ServerBody::Error(error)) => self.answered(id, Err(error.into()))?,
            Some(ServerBody::Events(events)) => {
                for seen in &events.events {
                    let known = event::event(seen);
                    let known = known.ok_or(Error::Protocol("an event of an unknown kind"))?;
                    self.incoming.push_back(Incoming::Event(Box::new(known)));
                }
            }
            Some(ServerBody::Snapshot(snapshot)) => {
                let part = Part::read(id, &snapshot);
                let part = part.ok_or(Error::Protocol("a part of a snapshot without sense"))?;
                self.incoming.push_back(Incoming::Snapshot(part));
            }
            Some(ServerBody::Ping(_)) => {
                self.push(&frame(0, ClientBody::Pong(pb::Pong {})));
                self.incoming.push_back(Incoming::Ping);
            }
            Some(ServerBody::Goodbye(goodbye)) => {
                let goodbye = Goodbye::from(goodbye);
                self.goodbye = Some(goodbye.clone());
                self.incoming.push_back(Incoming::Goodbye(goodbye));
            }
            // What a newer server tells everybody is nothing to an older client; what it answers is.
            None if id == 0 => {}
            None => return Err(Error::Protocol("an answer of an unknown kind")),
        }
        Ok(())
    }

    fn answered(&mut self, id: u32, answer: Answer) -> Result<(), Error> {
        match self.asked.remove(&id) {
            None => return Err(Error::Protocol("an answer to nothing that was asked")),
            Some(Asked::Mutation) => self.unanswered_mutations -= 1,
            Some(Asked::Hello | Asked::Subscription) => {}
        }
        self.incoming.push_back(Incoming::Answered { id, answer });
        Ok(())
    }

    fn ask(&mut self, asked: Asked, body: ClientBody) -> Result<u32, Error> {
        let id = self.unused_id();
        let frame = frame(id, body);
        let bytes = framed_len(&frame);
        if bytes > self.max_message_bytes {
            let max = self.max_message_bytes;
            return Err(Error::TooLarge { bytes, max });
        }
        self.asked.insert(id, asked);
        self.push(&frame);
        Ok(id)
    }

    fn unused_id(&mut self) -> u32 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if self.last_id != 0 && !self.asked.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    fn push(&mut self, frame: &pb::ClientFrame) {
        let full = MESSAGE_BYTES.min(self.max_message_bytes);
        if !self.open.is_empty() && self.open.len() + framed_len(frame) > full {
            self.full.push_back(self.open.split().freeze());
        }
        // A packet is nothing but its frames one after the other, so one more just follows.
        prost::encoding::message::encode(FRAMES, frame, &mut self.open);
    }
}

/// Without what is queued: the first frame holds the token.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("asked", &self.asked)
            .field(
                "queued",
                &(self.full.len() + usize::from(!self.open.is_empty())),
            )
            .field("incoming", &self.incoming.len())
            .finish_non_exhaustive()
    }
}

/// The number of `ClientPacket.frames`.
const FRAMES: u32 = 1;

fn framed_len(frame: &pb::ClientFrame) -> usize {
    prost::encoding::message::encoded_len(FRAMES, frame)
}

fn frame(id: u32, body: ClientBody) -> pb::ClientFrame {
    pb::ClientFrame {
        id,
        body: Some(body),
    }
}

fn scope_bytes(scope: Scope) -> Bytes {
    match scope {
        Scope::Tenant => Bytes::new(),
        Scope::Project(id) => encode::id(id),
    }
}

#[cfg(test)]
mod tests;
