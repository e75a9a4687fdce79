use std::collections::HashMap;

use serde::Serialize;

use super::{item::Item, time::Time};
use crate::{
    domain::{self, Id, WorkItem},
    store::{self, Snapshot},
};

/// A project, everything in it, and the place in the change log that this is the picture of.
#[derive(Debug, Serialize)]
pub(in crate::http) struct ProjectContext {
    project: Project,
    items: Vec<Node>,
    position: Position,
}

#[derive(Debug, Serialize)]
struct Project {
    id: String,
    name: String,
    archived: bool,
    version: u64,
    created_at: Time,
    updated_at: Time,
}

/// An item with those below it, in their order.
#[derive(Debug, Serialize)]
struct Node {
    #[serde(flatten)]
    item: Item,
    items: Vec<Node>,
}

#[derive(Debug, Serialize)]
struct Position {
    epoch: String,
    rev: u64,
}

impl ProjectContext {
    /// `None` if there is no project in the snapshot.
    pub(in crate::http) fn of(snapshot: Snapshot) -> Option<Self> {
        let project = snapshot.projects.into_iter().next()?;
        Some(Self {
            project: project.into(),
            items: nest(snapshot.items),
            position: snapshot.position.into(),
        })
    }
}

/// From parents before children, siblings in their order, to children inside their parents.
fn nest(items: Vec<WorkItem>) -> Vec<Node> {
    // From the back, so that all that stands below an item is there when it is reached.
    let mut lanes: HashMap<Option<Id>, Vec<Node>> = HashMap::new();
    for item in items.into_iter().rev() {
        let mut below = lanes.remove(&Some(item.id)).unwrap_or_default();
        below.reverse();
        lanes.entry(item.parent).or_default().push(Node {
            item: item.into(),
            items: below,
        });
    }
    let mut top = lanes.remove(&None).unwrap_or_default();
    top.reverse();
    top
}

impl From<domain::Project> for Project {
    fn from(project: domain::Project) -> Self {
        Self {
            id: project.id.to_string(),
            name: project.name,
            archived: project.archived,
            version: project.version,
            created_at: Time(project.created_at_us),
            updated_at: Time(project.updated_at_us),
        }
    }
}

impl From<store::Position> for Position {
    fn from(position: store::Position) -> Self {
        Self {
            epoch: position.epoch.to_string(),
            rev: position.rev,
        }
    }
}
