use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{
    Activity, Applied, Entry, Log, Page, Position, Scope, Snapshot, StoreError, group::Ground,
};
use crate::domain::{Backlog, Id, Mutation, Project};

/// A log in memory: the model that the others are compared with, and what simulations run on.
///
/// It is as durable as the value itself.
#[derive(Debug)]
pub struct MemoryLog {
    epoch: Id,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ground: Ground,
    entries: Vec<Logged>,
}

#[derive(Debug)]
struct Logged {
    entry: Entry,
    item: Option<Id>,
}

impl MemoryLog {
    /// An empty log of this epoch.
    #[must_use]
    pub fn new(epoch: Id) -> Self {
        Self {
            epoch,
            state: Mutex::default(),
        }
    }

    /// The backlog as it is.
    #[must_use]
    pub fn backlog(&self) -> Backlog {
        self.state().ground.backlog.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A plan that panicked has changed nothing but its own ground; see `apply`.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn head(&self) -> Result<Position, StoreError> {
        Ok(Position {
            epoch: self.epoch,
            rev: self.state().ground.head,
        })
    }

    async fn apply(&self, group: &[Mutation]) -> Result<Applied, StoreError> {
        let state = &mut *self.state();
        let plan = state
            .ground
            .plan(group)
            .map_err(|lane| StoreError::corrupt(format!("a whole backlog lacks {lane:?}")))?;
        let items = plan.events.iter().map(|event| event.change.item());
        let logged = plan.applied.entries.iter().cloned().zip(items);
        state
            .entries
            .extend(logged.map(|(entry, item)| Logged { entry, item }));
        Ok(plan.applied)
    }

    async fn read(&self, scope: Scope, after: u64, limit: usize) -> Result<Page, StoreError> {
        let state = self.state();
        let start = usize::try_from(after).unwrap_or(usize::MAX);
        let entries = state.entries.iter().skip(start).map(|logged| &logged.entry);
        let mut page = Page::begin(state.ground.head);
        for entry in entries.filter(|entry| scope.covers(entry.project)) {
            if page.push(entry.clone(), limit) {
                break;
            }
        }
        Ok(page)
    }

    async fn snapshot(&self, scope: Scope) -> Result<Snapshot, StoreError> {
        let state = self.state();
        let backlog = &state.ground.backlog;
        let mut projects: Vec<Project> = backlog
            .projects()
            .filter(|project| scope.covers(project.id))
            .cloned()
            .collect();
        projects.sort_by_key(|project| (project.created_at_us, project.id));
        let items = projects
            .iter()
            .flat_map(|project| backlog.forest(project.id))
            .cloned()
            .collect();
        let position = Position {
            epoch: self.epoch,
            rev: state.ground.head,
        };
        Ok(Snapshot {
            position,
            projects,
            items,
        })
    }

    async fn item(&self, id: Id, limit: usize) -> Result<Option<Activity>, StoreError> {
        let state = self.state();
        let Some(item) = state.ground.backlog.item(id).cloned() else {
            return Ok(None);
        };
        let about = state
            .entries
            .iter()
            .rev()
            .filter(|logged| logged.item == Some(id));
        let entries = about
            .take(limit)
            .map(|logged| logged.entry.clone())
            .collect();
        Ok(Some(Activity { item, entries }))
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
