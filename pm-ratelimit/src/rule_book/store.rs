use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use pm_core::Identity;

use crate::guard::Position;
use crate::{Error, InvalidRules, PolicyName, Quota, Rule};

/// The most quotas that are told or listed at a time.
pub const PAGE: usize = 1_000;

/// The most rules that a store holds.
pub const RULES: usize = 1_000;

/// Keeps rules, and quotas of users, and tells all instances of every change.
///
/// It is not asked on the way of a request, but for the first one of a user that an instance has not
/// seen. What an implementation promises, the suite
/// [`guard::conformance`](crate::guard::conformance) (feature `conformance`) checks:
///
/// * **What is written is what is read**, in every field, and after a restart too, if it is on disk.
/// * **Rules change as a whole.** An [`edit`](Self::edit) comes with the position of the rules that it
///   was checked with, and counts only if these are still all there are: so a set that nobody has
///   checked is never stored, whoever else edits at the same time.
/// * **Numbered changes.** Every change of rules and every change of a quota gets a version above all
///   before it. What says the same again changes nothing.
/// * **Epochs.** A store that has lost what it held has another epoch: a random number that was drawn
///   when it was empty. For a position of another epoch, and for one that is ahead of the store,
///   everything has changed.
/// * **Bounded waiting.** Every method ends within a deadline of the store's own, and nothing is sent
///   twice.
///
/// Who writes keeps to the bounds: at most [`RULES`] rules, texts without control characters, no
/// tenant without a name. A user's roles are not part of who they are here.
#[async_trait]
pub trait RuleStore: fmt::Debug + Send + Sync + 'static {
    /// From now on these names have these rules, or none. Returns the version that the rules have
    /// then: another one if something is different from before.
    ///
    /// Returns `None`, and nothing is changed, if the position of the rules is not `at`: the epoch of
    /// the store, and [`SavedRules::version`]. Each name comes once.
    ///
    /// Cancel-safe: all of them are changed, or none.
    ///
    /// # Errors
    ///
    /// If the store did not answer. They may be changed nevertheless; to try it again does no harm.
    async fn edit(
        self: Arc<Self>,
        edits: Vec<(PolicyName, Option<Rule>)>,
        at: Position,
    ) -> Result<Option<u64>, Error>;

    /// From now on the user has this quota by this rule. Returns the position of that: a later
    /// version than before if it is another one.
    ///
    /// Cancel-safe: it is assigned or not.
    ///
    /// # Errors
    ///
    /// If the store did not answer. It may be assigned nevertheless; to do it again does no harm.
    async fn assign(
        self: Arc<Self>,
        rule: PolicyName,
        user: Identity,
        quota: Quota,
    ) -> Result<Position, Error>;

    /// From now on the user has the quota of the rule. Returns the position of that, or `None` if
    /// there was nothing to withdraw.
    ///
    /// Cancel-safe: it is withdrawn or not.
    ///
    /// # Errors
    ///
    /// As for [`assign`](Self::assign).
    async fn withdraw(
        self: Arc<Self>,
        rule: PolicyName,
        user: Identity,
    ) -> Result<Option<Position>, Error>;

    /// The quota that the user has by this rule.
    ///
    /// # Errors
    ///
    /// If the store did not answer.
    async fn quota(self: Arc<Self>, rule: PolicyName, user: Identity) -> Result<Told, Error>;

    /// A page of the quotas, of all users or of one: at most `limit`, and at most [`PAGE`], from behind
    /// that user and rule on, in the order of the bytes of tenant, name and rule; users without tenant
    /// come first.
    ///
    /// # Errors
    ///
    /// If the store did not answer.
    async fn quotas(
        self: Arc<Self>,
        of: Option<Identity>,
        after: Option<(Identity, PolicyName)>,
        limit: usize,
    ) -> Result<Vec<Assigned>, Error>;

    /// What has changed since; a quota that cannot be read is passed over. Whoever gets [`PAGE`] quotas asks again from the position that comes
    /// with them.
    ///
    /// # Errors
    ///
    /// If the store did not answer.
    async fn changes(self: Arc<Self>, since: Position) -> Result<Changes, Error>;
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// What to ask from the next time.
    pub position: Position,
    /// All rules there are, if one of them has changed.
    pub rules: Option<SavedRules>,
    /// The version of the last change of a rule, as in [`SavedRules::version`], whether they are told
    /// or not: whoever knows rules of another one asks for everything.
    pub rules_version: u64,
    /// The quotas of users.
    pub quotas: QuotaChanges,
}

/// All rules of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedRules {
    /// The version of the last change of a rule; 0 if there was none.
    pub version: u64,
    /// The rules, in the order of the bytes of their names; or which one this version of the crate
    /// cannot read, and why.
    pub rules: Result<Vec<SavedRule>, InvalidRules>,
}

/// A rule of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedRule {
    /// Its name.
    pub name: PolicyName,
    /// What it says.
    pub rule: Rule,
    /// The version of its last change.
    pub version: u64,
}

/// Which quotas of users have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaChanges {
    /// Nobody knows any longer: the position is not of this life of the store, or too far behind.
    Any,
    /// These, as they are by now, by version.
    These(Vec<QuotaChange>),
}

/// A quota that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaChange {
    /// Whose it is, without roles.
    pub user: Identity,
    /// By which rule.
    pub rule: PolicyName,
    /// The quota, or `None` if it was withdrawn.
    pub quota: Option<Quota>,
    /// The version of the change.
    pub version: u64,
}

/// A quota that a user has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Whose it is, without roles.
    pub user: Identity,
    /// By which rule.
    pub rule: PolicyName,
    /// The quota.
    pub quota: Quota,
    /// The version of its last change.
    pub version: u64,
}

/// The answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The quota, or `None` if the user has that of the rule.
    pub quota: Option<Quota>,
    /// The position that the store had when it answered.
    pub position: Position,
}

impl Changes {
    /// What a store in this position tells; a full page of quotas ends with the last of them, and none
    /// are told if any may have changed.
    pub(crate) fn new(
        mut position: Position,
        rules: Option<SavedRules>,
        rules_version: u64,
        quotas: Option<QuotaPage>,
    ) -> Self {
        if let Some(page) = &quotas
            && page.rows == PAGE
        {
            position.version = page.last;
        }
        Self {
            position,
            rules,
            rules_version,
            quotas: quotas.map_or(QuotaChanges::Any, |page| QuotaChanges::These(page.changes)),
        }
    }
}

/// Changed quotas by version, as a store has read them: what cannot be read keeps nobody from the others.
#[derive(Debug, Default)]
pub(crate) struct QuotaPage {
    changes: Vec<QuotaChange>,
    /// With those that cannot be read.
    rows: usize,
    /// The version of the last one.
    last: u64,
}

impl<E: fmt::Display> FromIterator<(u64, Result<QuotaChange, E>)> for QuotaPage {
    fn from_iter<I: IntoIterator<Item = (u64, Result<QuotaChange, E>)>>(rows: I) -> Self {
        let mut page = Self::default();
        for (version, change) in rows {
            page.rows += 1;
            page.last = version;
            match change {
                Ok(change) => page.changes.push(change),
                Err(error) => tracing::warn!(
                    %error,
                    version,
                    "the quota of a user is passed over: whoever knows an older one keeps it"
                ),
            }
        }
        page
    }
}

impl QuotaChange {
    /// The quota that is assigned by it, if one is.
    #[must_use]
    pub fn assigned(self) -> Option<Assigned> {
        Some(Assigned {
            quota: self.quota?,
            user: self.user,
            rule: self.rule,
            version: self.version,
        })
    }
}

#[cfg(test)]
fn _is_object_safe(_: &dyn RuleStore) {}
