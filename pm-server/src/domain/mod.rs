//! The pure rules of a backlog: no I/O, no clock, no async.
//!
//! [`Backlog::decide`] says what a mutation does, as [`Change`]s, or why not, as a [`Refusal`].
//! [`Backlog::apply`] folds a change in. The writer, the in-memory model and every client use the
//! same fold, so they cannot disagree about what a change means.

mod backlog;
mod change;
mod decide;
mod fields;
mod hierarchy;
mod id;
mod item;
mod mutation;
mod place;
mod project;
pub mod rank;
mod refusal;

pub use self::{
    backlog::{Backlog, Lane},
    change::{Change, Event, Subject},
    decide::{Decision, Undecided},
    fields::{
        Fields, MAX_ASSIGNEE_CHARS, MAX_DESCRIPTION_BYTES, MAX_LABEL_CHARS, MAX_LABELS,
        MAX_TITLE_CHARS, Patch,
    },
    hierarchy::MAX_DEPTH,
    id::Id,
    item::{Kind, Status, WorkItem},
    mutation::{Mutation, Operation, Place},
    project::{MAX_PROJECT_NAME_CHARS, Project},
    refusal::{Refusal, Violation},
};
