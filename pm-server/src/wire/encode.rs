//! From domain values to the schema.

use bytes::Bytes;
use prost::Message;

use crate::{
    domain::{Change, Event, Fields, Id, Kind, Patch, Project, Status, Subject, WorkItem},
    r#gen::{self as pb, event::Change as PbChange, ok::Result as PbResult},
};

/// The bytes of an id.
#[must_use]
pub fn id(id: Id) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// The bytes of an id, none at all for `None`.
#[must_use]
pub fn optional_id(optional: Option<Id>) -> Bytes {
    optional.map_or_else(Bytes::new, id)
}

/// The number of a kind.
#[must_use]
pub const fn kind(kind: Kind) -> pb::Kind {
    match kind {
        Kind::Epic => pb::Kind::Epic,
        Kind::Story => pb::Kind::Story,
        Kind::Task => pb::Kind::Task,
    }
}

/// The number of a status.
#[must_use]
pub const fn status(status: Status) -> pb::Status {
    match status {
        Status::Todo => pb::Status::Todo,
        Status::InProgress => pb::Status::InProgress,
        Status::Done => pb::Status::Done,
        Status::Cancelled => pb::Status::Cancelled,
    }
}

/// A project.
#[must_use]
pub fn project(project: &Project) -> pb::Project {
    pb::Project {
        id: id(project.id),
        name: project.name.clone(),
        archived: project.archived,
        version: project.version,
        created_at_us: project.created_at_us,
        updated_at_us: project.updated_at_us,
    }
}

/// The fields of a work item.
#[must_use]
pub fn fields(fields: &Fields) -> pb::Fields {
    pb::Fields {
        status: status(fields.status) as i32,
        title: fields.title.clone(),
        description: fields.description.clone(),
        labels: fields.labels.clone(),
        assignee: fields.assignee.clone(),
    }
}

/// A work item.
#[must_use]
pub fn item(item: &WorkItem) -> pb::WorkItem {
    pb::WorkItem {
        id: id(item.id),
        project_id: id(item.project),
        parent_id: optional_id(item.parent),
        kind: kind(item.kind) as i32,
        fields: Some(fields(&item.fields)),
        rank: item.rank,
        version: item.version,
        created_at_us: item.created_at_us,
        updated_at_us: item.updated_at_us,
    }
}

/// The values of a patch, and the mask that names them.
#[must_use]
pub fn patch(patch: &Patch) -> (Vec<i32>, pb::Fields) {
    let Patch {
        status: state,
        title,
        description,
        labels,
        assignee,
    } = patch;
    let named = [
        (state.is_some(), pb::Field::Status),
        (title.is_some(), pb::Field::Title),
        (description.is_some(), pb::Field::Description),
        (labels.is_some(), pb::Field::Labels),
        (assignee.is_some(), pb::Field::Assignee),
    ];
    let mask = named
        .into_iter()
        .filter(|(named, _)| *named)
        .map(|(_, field)| field as i32);
    let fields = pb::Fields {
        status: state.map_or(pb::Status::Unspecified, status) as i32,
        title: title.clone().unwrap_or_default(),
        description: description.clone().unwrap_or_default(),
        labels: labels.clone().unwrap_or_default(),
        assignee: assignee.clone().unwrap_or_default(),
    };
    (mask.collect(), fields)
}

/// An event.
#[must_use]
pub fn event(event: &Event) -> pb::Event {
    pb::Event {
        rev: event.rev,
        prev: event.prev,
        project_id: id(event.project),
        at_us: event.at_us,
        actor: event.actor.as_ref().to_owned(),
        mutation_id: id(event.mutation),
        change: Some(change(&event.change)),
    }
}

/// The result in the answer to a mutation.
#[must_use]
pub fn subject(subject: &Subject) -> PbResult {
    match subject {
        Subject::Project(changed) => PbResult::Project(project(changed)),
        Subject::Item(changed) => PbResult::Item(item(changed)),
        Subject::Deleted(ids) => PbResult::Deleted(deleted(ids)),
    }
}

/// A packet of one frame. Packets laid end to end are a packet.
#[must_use]
pub fn packet(id: u32, body: pb::server_frame::Body) -> Bytes {
    let frame = pb::ServerFrame {
        id,
        body: Some(body),
    };
    pb::ServerPacket {
        frames: vec![frame],
    }
    .encode_to_vec()
    .into()
}

fn change(change: &Change) -> PbChange {
    match change {
        Change::ProjectCreated(created) => PbChange::ProjectCreated(project(created)),
        Change::ProjectRenamed { version, old, new } => {
            PbChange::ProjectRenamed(pb::ProjectRenamed {
                version: *version,
                old_name: old.clone(),
                new_name: new.clone(),
            })
        }
        Change::ProjectArchived { version, archived } => {
            PbChange::ProjectArchived(pb::ProjectArchived {
                version: *version,
                archived: *archived,
            })
        }
        Change::ItemCreated(created) => PbChange::ItemCreated(item(created)),
        Change::ItemUpdated {
            id: item,
            version,
            old,
            new,
        } => {
            let (mask, new) = patch(new);
            PbChange::ItemUpdated(pb::ItemUpdated {
                id: id(*item),
                version: *version,
                mask,
                old: Some(patch(old).1),
                new: Some(new),
            })
        }
        Change::ItemMoved {
            id: item,
            version,
            old_parent,
            new_parent,
            old_rank,
            new_rank,
        } => PbChange::ItemMoved(pb::ItemMoved {
            id: id(*item),
            version: *version,
            old_parent_id: optional_id(*old_parent),
            new_parent_id: optional_id(*new_parent),
            old_rank: *old_rank,
            new_rank: *new_rank,
        }),
        Change::ItemsDeleted { ids } => PbChange::ItemsDeleted(deleted(ids)),
        Change::Rebalanced { parent, ranks } => PbChange::Rebalanced(pb::Rebalanced {
            parent_id: optional_id(*parent),
            ranks: ranks
                .iter()
                .map(|(item, rank)| pb::Rank {
                    id: id(*item),
                    rank: *rank,
                })
                .collect(),
        }),
    }
}

fn deleted(ids: &[Id]) -> pb::ItemsDeleted {
    pb::ItemsDeleted {
        ids: ids.iter().copied().map(id).collect(),
    }
}
