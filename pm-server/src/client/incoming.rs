use std::time::Duration;

use super::Rejection;
use crate::{
    domain::{Event, Id, Project, WorkItem},
    r#gen as pb,
    store::{Position, Scope},
    wire::{decode, event},
};

/// What a frame that was sent is answered with.
pub type Answer = Result<Box<pb::Ok>, Rejection>;

/// Something that the server said.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// Hello was accepted.
    Welcome(Box<pb::Welcome>),
    /// The one answer to the frame with this id.
    Answered {
        /// The frame's id.
        id: u32,
        /// The answer.
        answer: Answer,
    },
    /// The server could not make sense of something that had no id.
    Rejected(Rejection),
    /// Something happened.
    Event(Box<Event>),
    /// A part of how things are.
    Snapshot(Part),
    /// The server wanted to know whether this end lives. It was told.
    Ping,
    /// The server is about to close.
    Goodbye(Goodbye),
}

/// A part of a snapshot. The parts of one snapshot come in order and have one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The frame that asked for the snapshot.
    pub id: u32,
    /// Of what.
    pub scope: Scope,
    /// As of when.
    pub position: Position,
    /// Before all items.
    pub projects: Vec<Project>,
    /// Parents before children.
    pub items: Vec<WorkItem>,
    /// Whether it is the last part.
    pub last: bool,
}

/// Why the server closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// The close code.
    pub code: u16,
    /// In words.
    pub reason: String,
    /// How long to stay away.
    pub retry_after: Option<Duration>,
}

impl Part {
    /// `None` if it is not what a server writes.
    pub(super) fn read(id: u32, snapshot: &pb::Snapshot) -> Option<Self> {
        let scope = decode::scope(&snapshot.project_id).ok()?;
        let projects = snapshot.projects.iter().map(event::project);
        let items = snapshot.items.iter().map(event::item);
        Some(Self {
            id,
            scope: scope.map_or(Scope::Tenant, Scope::Project),
            position: position(snapshot.position.as_ref()?)?,
            projects: projects.collect::<Option<_>>()?,
            items: items.collect::<Option<_>>()?,
            last: snapshot.last,
        })
    }
}

impl From<pb::Goodbye> for Goodbye {
    fn from(goodbye: pb::Goodbye) -> Self {
        let ms = goodbye.retry_after_ms;
        Self {
            code: u16::try_from(goodbye.close_code).unwrap_or_default(),
            reason: goodbye.reason,
            retry_after: (ms > 0).then(|| Duration::from_millis(ms)),
        }
    }
}

/// Reads a position.
pub(super) fn position(position: &pb::Position) -> Option<Position> {
    Some(Position {
        epoch: Id::from_slice(&position.epoch)?,
        rev: position.rev,
    })
}
