use serde::Serialize;

use super::time::Time;
use crate::domain::{Kind, Status, WorkItem};

/// A work item.
#[derive(Debug, Serialize)]
pub(super) struct Item {
    id: String,
    project_id: String,
    parent_id: Option<String>,
    kind: &'static str,
    status: &'static str,
    title: String,
    description: String,
    labels: Vec<String>,
    assignee: Option<String>,
    version: u64,
    created_at: Time,
    updated_at: Time,
}

impl From<WorkItem> for Item {
    fn from(item: WorkItem) -> Self {
        let fields = item.fields;
        Self {
            id: item.id.to_string(),
            project_id: item.project.to_string(),
            parent_id: item.parent.map(|parent| parent.to_string()),
            kind: kind(item.kind),
            status: status(fields.status),
            title: fields.title,
            description: fields.description,
            labels: fields.labels,
            assignee: Some(fields.assignee).filter(|assignee| !assignee.is_empty()),
            version: item.version,
            created_at: Time(item.created_at_us),
            updated_at: Time(item.updated_at_us),
        }
    }
}

pub(super) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Epic => "epic",
        Kind::Story => "story",
        Kind::Task => "task",
    }
}

pub(super) const fn status(status: Status) -> &'static str {
    match status {
        Status::Todo => "todo",
        Status::InProgress => "in_progress",
        Status::Done => "done",
        Status::Cancelled => "cancelled",
    }
}
