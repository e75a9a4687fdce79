use std::sync::Arc;

use super::{Id, Patch, Project, WorkItem};

/// What happened. A mutation that is applied makes one of them, or two if the siblings needed new
/// ranks first, or none if everything already was as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the fields say what the schema says
pub enum Change {
    /// The first event of a project.
    ProjectCreated(Project),
    /// It has another name.
    ProjectRenamed {
        version: u64,
        old: String,
        new: String,
    },
    /// It went into the archive, or came out of it.
    ProjectArchived { version: u64, archived: bool },
    /// A new work item.
    ItemCreated(WorkItem),
    /// Old and new values of the fields that changed.
    ItemUpdated {
        id: Id,
        version: u64,
        old: Patch,
        new: Patch,
    },
    /// It stands elsewhere.
    ItemMoved {
        id: Id,
        version: u64,
        old_parent: Option<Id>,
        new_parent: Option<Id>,
        old_rank: u64,
        new_rank: u64,
    },
    /// An item and everything below it, the item first.
    ItemsDeleted { ids: Vec<Id> },
    /// New ranks for neighbours, in their order.
    Rebalanced {
        parent: Option<Id>,
        ranks: Vec<(Id, u64)>,
    },
}

impl Change {
    /// The work item whose activity this is, if it is that of a single one.
    #[must_use]
    pub fn item(&self) -> Option<Id> {
        match self {
            Self::ItemCreated(item) => Some(item.id),
            Self::ItemUpdated { id, .. } | Self::ItemMoved { id, .. } => Some(*id),
            Self::ItemsDeleted { ids } => ids.first().copied(),
            Self::ProjectCreated(_)
            | Self::ProjectRenamed { .. }
            | Self::ProjectArchived { .. }
            | Self::Rebalanced { .. } => None,
        }
    }
}

/// A [`Change`] with its place in the change log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Dense per tenant.
    pub rev: u64,
    /// The rev before this one in the same project, 0 for its first.
    pub prev: u64,
    /// The one scope it belongs to.
    pub project: Id,
    /// Microseconds since 1970, UTC.
    pub at_us: i64,
    /// Who asked for it.
    pub actor: Arc<str>,
    /// The mutation that caused it.
    pub mutation: Id,
    /// What happened.
    pub change: Change,
}

/// What a mutation was about, as it is afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A project.
    Project(Project),
    /// A work item.
    Item(WorkItem),
    /// What is gone, the item first.
    Deleted(Vec<Id>),
}
