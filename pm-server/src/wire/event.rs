//! From the schema back to what happened: what a client needs to keep a replica.
//!
//! `None` everywhere means that the bytes are not what [`encode`](super::encode) writes: a server of
//! a newer schema, or not a server.

use crate::{
    domain::{Change, Event, Fields, Id, Patch, Project, Subject, WorkItem},
    r#gen::{self as pb, event::Change as PbChange, ok::Result as PbResult},
};

use super::decode;

/// Reads an event.
#[must_use]
pub fn event(event: &pb::Event) -> Option<Event> {
    Some(Event {
        rev: event.rev,
        prev: event.prev,
        project: Id::from_slice(&event.project_id)?,
        at_us: event.at_us,
        actor: event.actor.as_str().into(),
        mutation: Id::from_slice(&event.mutation_id)?,
        change: change(event.change.as_ref()?)?,
    })
}

/// Reads a project.
#[must_use]
pub fn project(project: &pb::Project) -> Option<Project> {
    Some(Project {
        id: Id::from_slice(&project.id)?,
        name: project.name.clone(),
        archived: project.archived,
        version: project.version,
        created_at_us: project.created_at_us,
        updated_at_us: project.updated_at_us,
    })
}

/// Reads a work item.
#[must_use]
pub fn item(item: &pb::WorkItem) -> Option<WorkItem> {
    Some(WorkItem {
        id: Id::from_slice(&item.id)?,
        project: Id::from_slice(&item.project_id)?,
        parent: optional_id(&item.parent_id)?,
        kind: decode::kind(item.kind)?,
        fields: fields(item.fields.as_ref()?)?,
        rank: item.rank,
        version: item.version,
        created_at_us: item.created_at_us,
        updated_at_us: item.updated_at_us,
    })
}

/// Reads the result in the answer to a mutation.
#[must_use]
pub fn subject(result: &PbResult) -> Option<Subject> {
    match result {
        PbResult::Project(changed) => project(changed).map(Subject::Project),
        PbResult::Item(changed) => item(changed).map(Subject::Item),
        PbResult::Deleted(deleted) => ids(&deleted.ids).map(Subject::Deleted),
        PbResult::Subscribed(_) => None,
    }
}

fn change(change: &PbChange) -> Option<Change> {
    Some(match change {
        PbChange::ProjectCreated(created) => Change::ProjectCreated(project(created)?),
        PbChange::ProjectRenamed(renamed) => Change::ProjectRenamed {
            version: renamed.version,
            old: renamed.old_name.clone(),
            new: renamed.new_name.clone(),
        },
        PbChange::ProjectArchived(archived) => Change::ProjectArchived {
            version: archived.version,
            archived: archived.archived,
        },
        PbChange::ItemCreated(created) => Change::ItemCreated(item(created)?),
        PbChange::ItemUpdated(updated) => Change::ItemUpdated {
            id: Id::from_slice(&updated.id)?,
            version: updated.version,
            old: old_patch(&updated.mask, updated.old.as_ref()?)?,
            new: decode::patch(&updated.mask, updated.new.as_ref()?)?,
        },
        PbChange::ItemMoved(moved) => Change::ItemMoved {
            id: Id::from_slice(&moved.id)?,
            version: moved.version,
            old_parent: optional_id(&moved.old_parent_id)?,
            new_parent: optional_id(&moved.new_parent_id)?,
            old_rank: moved.old_rank,
            new_rank: moved.new_rank,
        },
        PbChange::ItemsDeleted(deleted) => Change::ItemsDeleted {
            ids: ids(&deleted.ids)?,
        },
        PbChange::Rebalanced(rebalanced) => Change::Rebalanced {
            parent: optional_id(&rebalanced.parent_id)?,
            ranks: rebalanced
                .ranks
                .iter()
                .map(|rank| Some((Id::from_slice(&rank.id)?, rank.rank)))
                .collect::<Option<_>>()?,
        },
    })
}

/// Old values never hold the description, whatever the mask says.
fn old_patch(mask: &[i32], fields: &pb::Fields) -> Option<Patch> {
    let patch = decode::patch(mask, fields)?;
    Some(Patch {
        description: None,
        ..patch
    })
}

fn fields(fields: &pb::Fields) -> Option<Fields> {
    Some(Fields {
        status: decode::status(fields.status)?,
        title: fields.title.clone(),
        description: fields.description.clone(),
        labels: fields.labels.clone(),
        assignee: fields.assignee.clone(),
    })
}

fn optional_id(bytes: &[u8]) -> Option<Option<Id>> {
    if bytes.is_empty() {
        Some(None)
    } else {
        Id::from_slice(bytes).map(Some)
    }
}

fn ids(ids: &[bytes::Bytes]) -> Option<Vec<Id>> {
    ids.iter().map(|id| Id::from_slice(id)).collect()
}
