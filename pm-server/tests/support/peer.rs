//! One end of a conversation, with the server's other end carried out on the spot: no socket, no
//! task, no time but what the test lets pass.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use pm_core::{Identity, Tick};
use pm_server::{
    domain::{Id, Mutation},
    r#gen::{self as pb, client_frame::Body, server_frame::Body as Said},
    store::{Log, MemoryLog},
    sync::{Hub, RingLimits, apply},
    ws::{Action, Connection, Gate, Opened, Rejection, SocketSettings},
};
use prost::Message;

pub const WALL_US: i64 = 1_700_000_000_000_000;

#[derive(Debug)]
pub struct Peer {
    pub connection: Connection,
    pub log: Arc<MemoryLog>,
    pub hub: Hub,
    pub now: Tick,
    pub roles: Vec<&'static str>,
    pub admit: Result<Duration, Rejection>,
    /// Submissions wait here while `hold` is set.
    pub held: Vec<(u32, Mutation)>,
    pub hold: bool,
    /// Other actions wait here while `hold_reads` is set.
    pub held_reads: Vec<Action>,
    pub hold_reads: bool,
}

pub fn id(byte: u8) -> Id {
    Id::from_bytes([byte; 16])
}

impl Peer {
    pub fn new() -> Self {
        Self::with(SocketSettings::default(), RingLimits::default())
    }

    pub fn with(settings: SocketSettings, ring: RingLimits) -> Self {
        let log = Arc::new(MemoryLog::new(id(250)));
        let hub = Hub::new(log.head().now_or_never().unwrap().unwrap(), ring);
        let now = Tick::from_nanos(1_000_000_000);
        Self {
            connection: Connection::new("c1", settings, now),
            log,
            hub,
            now,
            roles: vec!["editor"],
            admit: Ok(Duration::from_secs(3600)),
            held: vec![],
            hold: false,
            held_reads: vec![],
            hold_reads: false,
        }
    }

    /// A peer that has to pass `gate`.
    pub fn behind(gate: Gate) -> Self {
        let mut peer = Self::new();
        peer.connection =
            Connection::new("c1", SocketSettings::default(), peer.now).with_gate(gate);
        peer
    }

    /// A peer whose hello was accepted, and whose frames have to pass `gate`.
    pub fn gated(gate: Gate) -> Self {
        let mut peer = Self::behind(gate);
        peer.say_hello();
        peer
    }

    /// A peer whose hello was accepted.
    pub fn open() -> Self {
        let mut peer = Self::new();
        peer.say_hello();
        peer
    }

    pub fn say_hello(&mut self) {
        let said = self.say([hello(1)]);
        assert!(matches!(said[..], [(1, Said::Welcome(_))]), "{said:?}");
    }

    /// Sends frames as one message; what came back until nothing more did.
    pub fn say(&mut self, frames: impl IntoIterator<Item = pb::ClientFrame>) -> Vec<(u32, Said)> {
        let packet = pb::ClientPacket {
            frames: frames.into_iter().collect(),
        };
        self.say_bytes(packet.encode_to_vec())
    }

    pub fn say_bytes(&mut self, bytes: Vec<u8>) -> Vec<(u32, Said)> {
        self.connection.receive(bytes.into(), self.now, WALL_US);
        self.hear()
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) -> Vec<(u32, Said)> {
        self.now += time;
        self.connection.tick(self.now);
        self.hear()
    }

    /// Applies what was held and hands in the answers, without listening.
    pub fn answer_held(&mut self) {
        for (frame, mutation) in std::mem::take(&mut self.held) {
            self.act(Action::Submit { frame, mutation });
        }
    }

    /// What others do.
    pub fn meanwhile(&self, mutations: &[Mutation]) {
        let results = apply(&*self.log, &self.hub, mutations)
            .now_or_never()
            .unwrap();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    pub fn hear(&mut self) -> Vec<(u32, Said)> {
        self.messages().into_iter().flat_map(said).collect()
    }

    pub fn messages(&mut self) -> Vec<Bytes> {
        let mut messages = vec![];
        loop {
            let message = self.connection.next_message(self.now, WALL_US);
            let mut acted = false;
            while let Some(action) = self.connection.next_action() {
                acted = true;
                self.act(action);
            }
            match message {
                Some(message) => messages.push(message),
                None if acted => {}
                None => return messages,
            }
        }
    }

    /// Carries out what was held.
    pub fn release(&mut self) -> Vec<(u32, Said)> {
        (self.hold, self.hold_reads) = (false, false);
        for action in std::mem::take(&mut self.held_reads) {
            self.act(action);
        }
        self.answer_held();
        self.hear()
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Open { token, tenant } => {
                let good = token == "token" && (tenant == "demo" || tenant.is_empty());
                let admit = if good {
                    self.admit.clone()
                } else {
                    Err(Rejection::Token("it is another one".to_owned()))
                };
                let identity = Identity::new("ada")
                    .with_tenant("demo")
                    .with_roles(self.roles.iter());
                let opened = admit.map(|valid| Opened {
                    identity,
                    expires: self.now + valid,
                    hub: self.hub.clone(),
                });
                self.connection.opened(opened, self.now, WALL_US);
            }
            Action::Submit { frame, mutation } if self.hold => self.held.push((frame, mutation)),
            Action::Submit { frame, mutation } => {
                let mut results = apply(&*self.log, &self.hub, &[mutation])
                    .now_or_never()
                    .unwrap();
                self.connection.submitted(frame, &results.remove(0));
            }
            other if self.hold_reads => self.held_reads.push(other),
            Action::Ask { question } => {
                let verdict = question.answer().now_or_never().unwrap();
                self.connection.decided(&verdict, WALL_US);
            }
            Action::Snapshot { frame, scope } => {
                let snapshot = self.log.snapshot(scope).now_or_never().unwrap();
                self.connection.snapshotted(frame, scope, snapshot);
            }
            Action::Read {
                scope,
                after,
                limit,
            } => {
                let page = self.log.read(scope, after, limit).now_or_never().unwrap();
                self.connection.read(scope, page);
            }
        }
    }
}

fn said(message: Bytes) -> Vec<(u32, Said)> {
    let packet = pb::ServerPacket::decode(message).unwrap();
    packet
        .frames
        .into_iter()
        .map(|frame| (frame.id, frame.body.unwrap()))
        .collect()
}

pub fn frame(id: u32, body: Body) -> pb::ClientFrame {
    pb::ClientFrame {
        id,
        body: Some(body),
    }
}

pub fn hello(id: u32) -> pb::ClientFrame {
    let (token, tenant) = ("token".to_owned(), "demo".to_owned());
    frame(
        id,
        Body::Hello(pb::Hello {
            token,
            tenant,
            client: String::new(),
        }),
    )
}

pub fn subscribe(id: u32, project: Option<Id>, since: Option<(Id, u64)>) -> pb::ClientFrame {
    let since = since.map(|(epoch, rev)| pb::Position {
        epoch: bytes(epoch),
        rev,
    });
    let project_id = project.map(bytes).unwrap_or_default();
    frame(id, Body::Subscribe(pb::Subscribe { project_id, since }))
}

pub fn unsubscribe(id: u32, project: Option<Id>) -> pb::ClientFrame {
    let project_id = project.map(bytes).unwrap_or_default();
    frame(id, Body::Unsubscribe(pb::Unsubscribe { project_id }))
}

pub fn create_project(id: u32, project: u8) -> pb::ClientFrame {
    let operation = pb::mutate::Operation::CreateProject(pb::CreateProject {
        id: bytes(self::id(project)),
        name: format!("project {project}"),
    });
    mutate(id, u64::from(project), operation)
}

pub fn create_story(id: u32, project: u8, number: u64) -> pb::ClientFrame {
    let mut item = [7; 16];
    item[8..].copy_from_slice(&number.to_be_bytes());
    let operation = pb::mutate::Operation::CreateItem(pb::CreateItem {
        id: Bytes::copy_from_slice(&item),
        project_id: bytes(self::id(project)),
        kind: pb::Kind::Story as i32,
        fields: Some(pb::Fields {
            title: format!("story {number}"),
            ..pb::Fields::default()
        }),
        ..pb::CreateItem::default()
    });
    mutate(id, 1000 + number, operation)
}

pub fn mutate(id: u32, number: u64, operation: pb::mutate::Operation) -> pb::ClientFrame {
    let mut mutation_id = [9; 16];
    mutation_id[8..].copy_from_slice(&number.to_be_bytes());
    let mutation_id = Bytes::copy_from_slice(&mutation_id);
    frame(
        id,
        Body::Mutate(pb::Mutate {
            mutation_id,
            operation: Some(operation),
        }),
    )
}

pub fn bytes(id: Id) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// Feeds any bytes to a connection in every state it can be in. Whatever they are: no panic, what comes
/// back is the protocol, and either the conversation has ended with a goodbye or it goes on.
pub fn chew(bytes: &[u8]) {
    for opened in [false, true] {
        let mut peer = Peer::new();
        if opened {
            peer.say_hello();
            peer.say([create_project(2, 1), subscribe(3, None, None)]);
        }
        let said = peer.say_bytes(bytes.to_vec());
        if peer.connection.end().is_some() {
            assert!(
                matches!(said.last(), Some((0, Said::Goodbye(_)))),
                "{said:?}"
            );
            continue;
        }
        if !opened
            && !said
                .iter()
                .any(|(_, said)| matches!(said, Said::Welcome(_)))
        {
            peer.say_hello();
        }
        let said = peer.say([create_project(77, 9)]);
        let answers = said.iter().filter(|(id, _)| *id == 77).count();
        assert!(answers == 1 || peer.connection.end().is_some(), "{said:?}");
    }
}
