use crate::{domain::Id, store::Scope};

/// What a connection follows, and up to where it was told.
///
/// The scopes do not overlap: an event belongs to one of them at most. Otherwise one of two that are at
/// different places would get events that do not follow on.
#[derive(Clone, Debug, Default)]
pub struct Cursors {
    cursors: Vec<Cursor>,
}

#[derive(Clone, Copy, Debug)]
struct Cursor {
    scope: Scope,
    /// Every event of the scope up to here was delivered.
    rev: u64,
}

impl Cursors {
    /// Follows `scope` after `rev`. A scope that is followed already begins anew.
    pub fn follow(&mut self, scope: Scope, rev: u64) {
        self.unfollow(scope);
        self.cursors.push(Cursor { scope, rev });
    }

    /// Stops following; whether it was followed.
    pub fn unfollow(&mut self, scope: Scope) -> bool {
        let before = self.cursors.len();
        self.cursors.retain(|cursor| cursor.scope != scope);
        self.cursors.len() < before
    }

    /// How many scopes are followed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cursors.len()
    }

    /// Whether nothing is followed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cursors.is_empty()
    }

    /// Whether everything up to `rev` was delivered.
    #[must_use]
    pub fn have_passed(&self, rev: u64) -> bool {
        self.cursors.iter().all(|cursor| cursor.rev >= rev)
    }

    /// The scope that is furthest behind, and where it is.
    #[must_use]
    pub fn last(&self) -> Option<(Scope, u64)> {
        let last = self.cursors.iter().min_by_key(|cursor| cursor.rev)?;
        Some((last.scope, last.rev))
    }

    /// Where a scope is.
    #[must_use]
    pub fn at(&self, scope: Scope) -> Option<u64> {
        let mut cursors = self.cursors.iter();
        cursors
            .find(|cursor| cursor.scope == scope)
            .map(|cursor| cursor.rev)
    }

    /// Whether another scope that is followed has events in common with this one.
    #[must_use]
    pub fn overlap(&self, scope: Scope) -> bool {
        self.cursors
            .iter()
            .any(|cursor| cursor.scope.overlaps(scope))
    }

    /// Whether the event `rev` of `project` is still to be delivered.
    #[must_use]
    pub fn want(&self, project: Id, rev: u64) -> bool {
        let covering = |cursor: &&Cursor| cursor.scope.covers(project);
        self.cursors
            .iter()
            .filter(covering)
            .any(|cursor| cursor.rev < rev)
    }

    /// Everything up to `rev` was looked at and delivered where wanted.
    pub(super) fn pass_all(&mut self, rev: u64) {
        for cursor in &mut self.cursors {
            cursor.rev = cursor.rev.max(rev);
        }
    }

    /// Everything of `scope` up to `rev` was.
    pub(super) fn pass(&mut self, scope: Scope, rev: u64) {
        for cursor in self
            .cursors
            .iter_mut()
            .filter(|cursor| cursor.scope == scope)
        {
            cursor.rev = cursor.rev.max(rev);
        }
    }
}
