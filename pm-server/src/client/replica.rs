use super::Part;
use crate::{
    domain::{Backlog, Event, Id},
    store::{Position, Scope},
};

/// What a client knows of a scope, kept up to date, with proof that nothing is missing.
///
/// Load every [`Part`] of a snapshot, apply every event. Between snapshots it is always a state that
/// the server was in: what does not follow on is not applied.
#[derive(Clone, Debug)]
pub struct Replica {
    scope: Scope,
    position: Option<Position>,
    backlog: Backlog,
    /// The snapshot that is coming in: which frame asked for it, and what of it is here.
    loading: Option<(u32, Backlog)>,
    /// The frame that asked for one that is no longer wanted. Parts of it may still come.
    given_up: Option<u32>,
}

/// What an event turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Finding {
    /// The next one; it is in.
    Applied,
    /// Known already; nothing was done.
    Duplicate,
    /// Of another scope; nothing was done.
    Elsewhere,
    /// Something before it is missing; nothing was done. Subscribe again, since
    /// [`Replica::position`].
    Gap {
        /// The rev that would have followed on; in a project: the newest that may be the event's
        /// `prev`.
        expected: u64,
        /// The rev that came; in a project: the event's `prev`.
        got: u64,
    },
}

impl Replica {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            position: None,
            backlog: Backlog::default(),
            loading: None,
            given_up: None,
        }
    }

    /// A replica at the very beginning of a change log, before the first event.
    #[must_use]
    pub fn at_start(scope: Scope, epoch: Id) -> Self {
        Self {
            position: Some(Position { epoch, rev: 0 }),
            ..Self::new(scope)
        }
    }

    /// Takes in a part of a snapshot. True if it was the last: the replica is then what the
    /// snapshot says, whatever it was before.
    pub fn load(&mut self, part: Part) -> bool {
        if part.scope != self.scope || self.given_up == Some(part.id) {
            return false;
        }
        let mut loading = match self.loading.take() {
            Some((id, loading)) if id == part.id => loading,
            _ => Backlog::default(),
        };
        for project in part.projects {
            loading.insert_project(project);
        }
        for item in part.items {
            loading.insert_item(item);
        }
        if part.last {
            self.backlog = loading;
            self.position = Some(part.position);
        } else {
            self.loading = Some((part.id, loading));
        }
        part.last
    }

    /// Forgets the parts of a snapshot that did not come to its end: the connection is gone.
    pub fn interrupted(&mut self) {
        self.loading = None;
        self.given_up = None;
    }

    /// Forgets the parts of a snapshot, and those of it that are still to come on this connection:
    /// another subscription takes its place.
    pub fn give_up(&mut self) {
        if let Some((id, _)) = self.loading.take() {
            self.given_up = Some(id);
        }
    }

    /// Folds an event in if it is the next one. Before the first snapshot none is.
    pub fn apply(&mut self, event: &Event) -> Finding {
        if !self.scope.covers(event.project) {
            return Finding::Elsewhere;
        }
        let Some(position) = &mut self.position else {
            let (expected, got) = (0, event.rev);
            return Finding::Gap { expected, got };
        };
        if event.rev <= position.rev {
            return Finding::Duplicate;
        }
        let (expected, got) = match self.scope {
            Scope::Tenant => (position.rev + 1, event.rev),
            Scope::Project(_) => (position.rev, event.prev),
        };
        if got > expected {
            return Finding::Gap { expected, got };
        }
        position.rev = event.rev;
        self.backlog
            .apply(event.project, event.at_us, &event.change);
        Finding::Applied
    }

    /// Everything up to here is in: where to continue from. `None` before the first snapshot.
    #[must_use]
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// The newest rev that is in, 0 before the first snapshot.
    #[must_use]
    pub fn rev(&self) -> u64 {
        self.position.map_or(0, |position| position.rev)
    }

    /// What of.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// What is known.
    #[must_use]
    pub const fn backlog(&self) -> &Backlog {
        &self.backlog
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Change, Project};

    fn id(byte: u8) -> Id {
        Id::from_bytes([byte; 16])
    }

    fn project(byte: u8) -> Project {
        Project {
            id: id(byte),
            name: format!("project {byte}"),
            archived: false,
            version: 1,
            created_at_us: 1,
            updated_at_us: 1,
        }
    }

    fn event(rev: u64, prev: u64) -> Event {
        Event {
            rev,
            prev,
            project: id(1),
            at_us: 2,
            actor: "alice".into(),
            mutation: id(9),
            change: Change::ProjectRenamed {
                version: rev,
                old: String::new(),
                new: format!("at {rev}"),
            },
        }
    }

    fn part(scope: Scope, rev: u64, projects: Vec<Project>, last: bool) -> Part {
        Part {
            id: 3,
            scope,
            position: Position { epoch: id(7), rev },
            projects,
            items: Vec::new(),
            last,
        }
    }

    fn replica(scope: Scope, rev: u64) -> Replica {
        let mut replica = Replica::new(scope);
        assert!(replica.load(part(scope, rev, vec![project(1)], true)));
        replica
    }

    #[test]
    fn a_snapshot_counts_when_its_last_part_is_in() {
        let mut replica = Replica::new(Scope::Tenant);
        assert!(!replica.load(part(Scope::Tenant, 4, vec![project(1)], false)));
        assert_eq!(replica.position(), None);
        replica.interrupted();
        assert!(replica.load(part(Scope::Tenant, 5, vec![project(2)], true)));
        assert_eq!(replica.rev(), 5);
        assert_eq!(replica.backlog().projects().count(), 1);
    }

    /// The rest of a snapshot that was given up passed for a whole one. Found by simulation.
    #[test]
    fn the_rest_of_a_snapshot_is_not_a_snapshot() {
        let mut replica = replica(Scope::Tenant, 4);
        assert!(!replica.load(part(Scope::Tenant, 9, vec![project(1)], false)));
        replica.give_up();
        assert!(!replica.load(part(Scope::Tenant, 9, vec![project(2)], true)));
        assert_eq!(
            (replica.rev(), replica.backlog().projects().count()),
            (4, 1)
        );
        let next = |last| Part {
            id: 4,
            ..part(Scope::Tenant, 10, vec![project(3)], last)
        };
        assert!(!replica.load(next(false)) && replica.load(next(true)));
        assert_eq!(replica.rev(), 10);
    }

    #[test]
    fn of_a_tenant_every_rev_follows_on() {
        let mut replica = replica(Scope::Tenant, 4);
        assert_eq!(replica.apply(&event(5, 3)), Finding::Applied);
        assert_eq!(replica.apply(&event(5, 3)), Finding::Duplicate);
        assert_eq!(replica.apply(&event(2, 1)), Finding::Duplicate);
        let gap = Finding::Gap {
            expected: 6,
            got: 7,
        };
        assert_eq!(replica.apply(&event(7, 5)), gap);
        assert_eq!(replica.rev(), 5, "what does not follow on is not applied");
        assert_eq!(replica.backlog().project(id(1)).unwrap().name, "at 5");
        assert_eq!(replica.apply(&event(6, 5)), Finding::Applied);
    }

    #[test]
    fn of_a_project_the_revs_of_others_may_be_in_between() {
        let mut replica = replica(Scope::Project(id(1)), 4);
        assert_eq!(replica.apply(&event(9, 3)), Finding::Applied);
        assert_eq!(replica.apply(&event(12, 9)), Finding::Applied);
        let gap = Finding::Gap {
            expected: 12,
            got: 13,
        };
        assert_eq!(replica.apply(&event(15, 13)), gap);
        assert_eq!(replica.apply(&event(13, 12)), Finding::Applied);
        assert_eq!(replica.apply(&event(15, 13)), Finding::Applied);
    }

    #[test]
    fn other_scopes_leave_it_alone() {
        let mut replica = replica(Scope::Project(id(2)), 4);
        assert_eq!(replica.apply(&event(5, 0)), Finding::Elsewhere);
        assert!(!replica.load(part(Scope::Tenant, 9, vec![], true)));
        assert_eq!(replica.rev(), 4);
    }

    #[test]
    fn before_the_first_snapshot_nothing_follows_on() {
        let mut replica = Replica::new(Scope::Tenant);
        let gap = Finding::Gap {
            expected: 0,
            got: 1,
        };
        assert_eq!(replica.apply(&event(1, 0)), gap);
    }

    #[test]
    fn from_the_start_the_first_event_is_the_first() {
        let mut replica = Replica::at_start(Scope::Tenant, id(7));
        assert_eq!(replica.position().unwrap().rev, 0);
        assert_eq!(replica.apply(&event(1, 0)), Finding::Applied);
        assert_eq!(replica.position().unwrap().rev, 1);
    }
}
