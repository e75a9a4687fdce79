use std::sync::Arc;

use pm_core::{Identity, Tick};

use crate::{
    auth::Role,
    domain::Id,
    store::{Position, Scope},
    sync::{Cursors, Hub},
};

/// What a connection has once its hello was accepted.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) identity: Identity,
    /// The subject, as mutations carry it.
    pub(super) actor: Arc<str>,
    pub(super) may_edit: bool,
    pub(super) expires: Tick,
    pub(super) hub: Hub,
    pub(super) cursors: Cursors,
    /// Snapshots that are being read, each with the frame that asked.
    pub(super) snapshots: Vec<(u32, Scope)>,
    /// How many snapshots are being read, those that nobody waits for any more among them.
    pub(super) started: usize,
    /// After which rev a stretch of the log is being read.
    pub(super) reading: Option<u64>,
    pub(super) in_flight: usize,
}

impl Session {
    pub(super) fn new(identity: Identity, expires: Tick, hub: Hub) -> Self {
        let actor = Arc::from(identity.subject());
        let may_edit = Role::Editor.is_held_by(&identity);
        Self {
            identity,
            actor,
            may_edit,
            expires,
            hub,
            cursors: Cursors::default(),
            snapshots: Vec::new(),
            started: 0,
            reading: None,
            in_flight: 0,
        }
    }

    /// Whether it follows this scope or is about to.
    pub(super) fn follows(&self, scope: Scope) -> bool {
        let pending = || self.snapshots.iter().any(|(_, pending)| *pending == scope);
        self.cursors.at(scope).is_some() || pending()
    }

    /// How many scopes it follows or is about to.
    pub(super) fn subscriptions(&self) -> usize {
        self.cursors.len() + self.snapshots.len()
    }

    /// Whether what came after `since` can be sent, all of it.
    pub(super) fn can_resume(&self, since: Position, max_lag: u64) -> bool {
        let head = self.hub.head();
        since.epoch == head.epoch && since.rev <= head.rev && head.rev - since.rev <= max_lag
    }

    /// Whether it follows, or is about to, another scope that has events in common with this one.
    pub(super) fn overlaps(&self, scope: Scope) -> bool {
        let mut pending = self.snapshots.iter().map(|(_, pending)| *pending);
        self.cursors.overlap(scope) || pending.any(|pending| pending.overlaps(scope))
    }

    /// Stops following a scope; whether it did.
    pub(super) fn unfollow(&mut self, scope: Scope) -> bool {
        self.cursors.unfollow(scope)
    }

    /// Gives up the snapshot of a scope that is being read: the frame that asked for it.
    pub(super) fn give_up_snapshot(&mut self, scope: Scope) -> Option<u32> {
        let at = self
            .snapshots
            .iter()
            .position(|(_, wanted)| *wanted == scope)?;
        Some(self.snapshots.swap_remove(at).0)
    }
}

/// A scope as the schema has it: no id is the whole tenant.
pub(super) fn scope(project: Option<Id>) -> Scope {
    project.map_or(Scope::Tenant, Scope::Project)
}
