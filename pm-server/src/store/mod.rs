//! Where a tenant's change log is kept.

mod error;
mod group;
mod memory;
mod sqlite;

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;

pub(crate) use self::sqlite::probe_sqlite;
pub use self::{error::StoreError, memory::MemoryLog, sqlite::SqliteLog};
use crate::domain::{Id, Mutation, Project, Refusal, Subject, WorkItem};

/// The change log of one tenant, and the backlog it amounts to.
///
/// # Contract
///
/// * **One writer.** [`apply`](Log::apply) is called by one task at a time; the other methods at any
///   time by anybody.
/// * **Dense.** Revs start at 1 and have no holes. An event's `prev` is the rev before it in its
///   project.
/// * **Atomic and durable.** A mutation is applied with its events and its answer, or nothing of it is.
///   When `apply` returns, what it answered survives the loss of power.
/// * **Once.** A mutation whose id was answered before gets that answer again, `replayed`, and
///   changes nothing, whatever happened since. A refusal is not an answer: it is decided anew.
/// * **One view.** What a [`snapshot`](Log::snapshot) holds and the position it names belong
///   together: folding every later event into it gives every later state.
///
/// Every implementation passes the suite in `tests/store`.
#[async_trait]
pub trait Log: Debug + Send + Sync + 'static {
    /// The newest rev.
    async fn head(&self) -> Result<Position, StoreError>;

    /// Applies the mutations in order, each on top of those before it, all in one step.
    ///
    /// # Errors
    ///
    /// Nothing of the group was applied, or all of it was and only the confirmation was lost;
    /// repeating the mutations tells. A refusal is no error.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns: like an error.
    async fn apply(&self, group: &[Mutation]) -> Result<Applied, StoreError>;

    /// Up to `limit` events of a scope after the rev `after`, in order; fewer if they are large
    /// ([`PAGE_BYTES`]), but at least one if there is one.
    async fn read(&self, scope: Scope, after: u64, limit: usize) -> Result<Page, StoreError>;

    /// Everything there is of a scope.
    async fn snapshot(&self, scope: Scope) -> Result<Snapshot, StoreError>;

    /// Ends it in order. Later calls are errors, or answered from memory.
    ///
    /// # Errors
    ///
    /// It could not be ended in order; what was answered is durable nevertheless.
    async fn close(&self) -> Result<(), StoreError>;

    /// One work item and the newest `limit` events that are its activity, the newest first.
    async fn item(&self, id: Id, limit: usize) -> Result<Option<Activity>, StoreError>;
}

/// A place in the change log of one life of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Random, another one after a restore: positions of another epoch mean nothing.
    pub epoch: Id,
    /// The newest rev that is included.
    pub rev: u64,
}

/// What somebody follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every project of the tenant.
    Tenant,
    /// One of them.
    Project(Id),
}

impl Scope {
    /// Whether the events of `project` belong to it.
    #[must_use]
    pub fn covers(self, project: Id) -> bool {
        match self {
            Self::Tenant => true,
            Self::Project(id) => id == project,
        }
    }

    /// Whether an event can belong to both, and they are not the same.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self != other && (self == Self::Tenant || other == Self::Tenant)
    }
}

/// What came of a group.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// The new events, in order.
    pub entries: Vec<Entry>,
    /// One per mutation, in the order of the group.
    pub answers: Vec<Result<Answer, Refusal>>,
}

/// One event of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub rev: u64,
    /// Its scope.
    pub project: Id,
    /// The encoded `pm.v1.Event`.
    pub event: Bytes,
}

/// A stretch of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In order.
    pub entries: Vec<Entry>,
    /// There is no other event of the scope up to this rev. The head, unless the limit was reached.
    pub through: u64,
}

/// A page ends with the entry that makes it this large.
pub const PAGE_BYTES: usize = 32 << 10;

impl Page {
    /// A page of a log whose head was `head` when, or before, it was begun.
    fn begin(head: u64) -> Self {
        Self {
            entries: Vec::new(),
            through: head,
        }
    }

    /// Adds an entry; whether the page is full, and reaches no further than this.
    fn push(&mut self, entry: Entry, limit: usize) -> bool {
        let rev = entry.rev;
        self.entries.push(entry);
        let bytes: usize = self.entries.iter().map(|entry| entry.event.len()).sum();
        let full = self.entries.len() >= limit || bytes >= PAGE_BYTES;
        if full {
            self.through = rev;
        }
        full
    }
}

/// The answer to a mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The newest rev it caused, or that it was decided at if it changed nothing.
    pub rev: u64,
    /// Whether it was answered before.
    pub replayed: bool,
    /// What it was about, as it was afterwards.
    pub subject: Subject,
}

/// Everything of a scope at one position. Projects that do not exist are simply not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The place in the log it is the fold of.
    pub position: Position,
    /// In the order of their creation.
    pub projects: Vec<Project>,
    /// Parents before children, siblings in their order.
    pub items: Vec<WorkItem>,
}

/// A work item with what happened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// As it is.
    pub item: WorkItem,
    /// The newest events about it, the newest first.
    pub entries: Vec<Entry>,
}

// The server chooses the store at run time.
const _: fn(&dyn Log) = |_| ();
