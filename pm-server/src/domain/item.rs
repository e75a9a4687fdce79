use super::{Fields, Id, Lane};

/// What a work item is. Which kind may stand below which is in `hierarchy.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A large goal; it stands at the top of its project.
    Epic,
    /// Something a user gets; it stands at the top or below an epic.
    Story,
    /// A step; it stands below a story or another task.
    Task,
}

/// How far a work item is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// Nobody has begun.
    #[default]
    Todo,
    /// Somebody is at it.
    InProgress,
    /// Finished.
    Done,
    /// It will not be done.
    Cancelled,
}

/// An epic, a story or a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkItem {
    /// Chosen by whoever created it.
    pub id: Id,
    /// The project it belongs to, for its whole life.
    pub project: Id,
    /// `None` at the top of the project.
    pub parent: Option<Id>,
    /// What it is, for its whole life.
    pub kind: Kind,
    /// What its users edit.
    pub fields: Fields,
    /// Its place among its siblings, ascending, unique among them.
    pub rank: u64,
    /// Grows by one with each update and move. Rebalancing does not count: nobody asked for it.
    pub version: u64,
    /// Microseconds since 1970, UTC.
    pub created_at_us: i64,
    /// Microseconds since 1970, UTC.
    pub updated_at_us: i64,
}

impl WorkItem {
    /// The siblings it is ordered among.
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane {
            project: self.project,
            parent: self.parent,
        }
    }
}
