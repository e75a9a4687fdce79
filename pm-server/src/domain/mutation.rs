use std::sync::Arc;

use super::{Fields, Id, Kind, Patch, Refusal, project::check_name};

/// One change that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// Chosen by the client; repeating it asks for the first answer again.
    pub id: Id,
    /// Of the operation, to tell a repetition from another operation under the same id.
    pub digest: [u8; 16],
    /// The subject who asks.
    pub actor: Arc<str>,
    /// When it was received, in microseconds since 1970, UTC.
    pub at_us: i64,
    /// What is asked for.
    pub operation: Operation,
}

/// What a mutation asks for. `expected` is the version the client decided on; `None`: any.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the fields say what the schema says
pub enum Operation {
    /// A new project.
    CreateProject { id: Id, name: String },
    /// Another name for it.
    RenameProject {
        id: Id,
        name: String,
        expected: Option<u64>,
    },
    /// Into the archive, or out of it.
    ArchiveProject {
        id: Id,
        archived: bool,
        expected: Option<u64>,
    },
    /// A new work item.
    CreateItem {
        id: Id,
        project: Id,
        parent: Option<Id>,
        kind: Kind,
        fields: Fields,
        place: Place,
    },
    /// Other values for some of its fields.
    UpdateItem {
        id: Id,
        patch: Patch,
        expected: Option<u64>,
    },
    /// Another place; `parent: None` keeps the parent, `Some(None)` is the top of the project.
    MoveItem {
        id: Id,
        parent: Option<Option<Id>>,
        place: Place,
        expected: Option<u64>,
    },
    /// The item and everything below it.
    DeleteItem { id: Id, expected: Option<u64> },
}

impl Operation {
    /// Says whether this can be asked for at all, whatever the state of the backlog: texts within
    /// their bounds.
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`] with everything that is wrong.
    pub fn check(&self) -> Result<(), Refusal> {
        let mut violations = Vec::new();
        match self {
            Self::CreateProject { name, .. } | Self::RenameProject { name, .. } => {
                check_name(name, &mut violations);
            }
            Self::CreateItem { fields, .. } => fields.check(&mut violations),
            Self::UpdateItem { patch, .. } => patch.check(&mut violations),
            Self::ArchiveProject { .. } | Self::MoveItem { .. } | Self::DeleteItem { .. } => {}
        }
        if violations.is_empty() {
            Ok(())
        } else {
            Err(Refusal::Invalid(violations))
        }
    }
}

/// Where among its siblings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Before all of them.
    First,
    /// After all of them.
    #[default]
    Last,
    /// Directly after this one.
    After(Id),
    /// Directly before this one.
    Before(Id),
}

impl Place {
    /// The sibling it is relative to.
    #[must_use]
    pub const fn neighbour(&self) -> Option<Id> {
        match self {
            Self::First | Self::Last => None,
            Self::After(id) | Self::Before(id) => Some(*id),
        }
    }
}
