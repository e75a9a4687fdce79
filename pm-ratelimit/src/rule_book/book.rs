use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pm_core::Identity;

use super::bounds;
use super::known::{Edits, Known};
use super::quotas::SavedQuotas;
use super::{
    Assigned, Changes, Edit, EditError, PAGE, Position, QuotaChanges, RuleBookBuilder, RuleStore,
    SavedRule,
};
use crate::telemetry::{RuleBookCounters, RuleBookStats};
use crate::{
    By, Error, InvalidRules, Limiter, LimiterBuilder, PolicyName, Quota, Rules, User, guard,
};

/// How often an edit is tried again because others were faster.
const ATTEMPTS: usize = 8;

/// Rules and quotas of users that are kept in a store, and the [`Limiter`] that goes by them: a handle
/// that is cheap to clone.
///
/// **Rules of the store are put over rules of the configuration**, by name: one of the same name takes
/// the place of the configured one until it is removed, one of another name is added. What is changed
/// on one instance counts there at once, and on all others that share the store within a second.
///
/// **All or nothing.** The whole set is checked before anything is written, and every request is decided
/// by one version of it. A rule that keeps its name keeps its buckets: what is owed in tokens stays
/// owed, up to the burst of the new quota.
///
/// **Quotas of users** are asked for when a user is seen for the first time, and remembered until the
/// store says that they have changed. One stays assigned when its rule is removed, and counts again
/// when there is a rule of that name.
///
/// ```
/// use pm_ratelimit::rule_book::{Edit, RuleBook};
/// use pm_ratelimit::{By, Limiter, Quota, Rule, Rules, guard};
/// # use std::sync::Arc;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let configured = Rules::new().rule("user", Rule::always().by(By::User).quota(Quota::per_minute(300)));
/// let book = RuleBook::builder(Limiter::builder(configured))
///     .store(Arc::new(guard::MemoryStore::new()))
///     .build()?;
/// tokio::spawn(book.clone().run());
/// let limiter = book.limiter();
///
/// let login = Rule::on("POST /login").by(By::Client).quota(Quota::per_minute(5));
/// book.edit([Edit::put("login", login)]).await?;
/// book.assign("user", &pm_core::Identity::new("ada"), Quota::per_minute(1_000)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RuleBook(Arc<Shared>);

struct Shared {
    limiter: Limiter,
    store: Arc<dyn RuleStore>,
    quotas: Arc<SavedQuotas>,
    /// Held while rules are put into force, so that this happens in their order.
    known: Mutex<Known>,
    counters: Arc<RuleBookCounters>,
}

impl RuleBook {
    /// A book for a limiter with the rules of the configuration. Its quotas of users take the place of
    /// those that the limiter would have.
    pub const fn builder(limiter: LimiterBuilder) -> RuleBookBuilder {
        RuleBookBuilder::new(limiter)
    }

    pub(super) fn start(
        limiter: LimiterBuilder,
        store: Arc<dyn RuleStore>,
        users: usize,
    ) -> Result<Self, InvalidRules> {
        let counters = Arc::<RuleBookCounters>::default();
        let quotas = SavedQuotas::new(Arc::clone(&store), users, Arc::clone(&counters));
        let quotas = Arc::new(quotas);
        let limiter = limiter.shared_user_quotas(quotas.clone()).build()?;
        let known = Known {
            configured: limiter.rules(),
            ..Known::default()
        };
        Ok(Self(Arc::new(Shared {
            limiter,
            store,
            quotas,
            known: Mutex::new(known),
            counters,
        })))
    }

    /// The limiter. Do not [reload](Limiter::reload) it: what is configured anew goes
    /// [into the book](Self::configure).
    #[must_use]
    pub fn limiter(&self) -> Limiter {
        self.0.limiter.clone()
    }

    /// Keeps up with the store, four times a second, for ever. Spawn it; without it this instance hears
    /// nothing of what others change.
    ///
    /// While the store fails, what is known goes on counting, and one line is logged when it begins and
    /// one when it ends. What others have written and is not valid here is refused whole, and logged;
    /// the rules before it stay in force. Cancel-safe.
    ///
    /// # Panics
    ///
    /// With the system clock, outside a tokio runtime with its timer on.
    pub async fn run(self) {
        let clock = self.0.limiter.settings().clock.clone();
        guard::follow(clock, "rules", || {
            let book = self.clone();
            async move { book.synchronize().await }
        })
        .await;
    }

    /// Asks the store what has changed, and puts it into force: what [`run`](Self::run) does four times
    /// a second, and what you may wait for before the first request is let in. Cancel-safe.
    ///
    /// # Errors
    ///
    /// If the store failed.
    pub async fn synchronize(&self) -> Result<(), Error> {
        let result = self.exchange().await;
        let now = self.0.limiter.settings().clock.now();
        match &result {
            Ok(()) => {
                self.0.quotas.go_on();
                self.known().answered = Some(now);
            }
            Err(_) => {
                self.0.quotas.rest(now);
                self.0.counters.failed();
            }
        }
        result
    }

    async fn exchange(&self) -> Result<(), Error> {
        let store = &self.0.store;
        loop {
            let (since, at) = self.positions();
            let mut changes = Arc::clone(store).changes(since).await?;
            // The store has lost an edit, and has changed since.
            if changes.rules.is_none() && changes.rules_version != at.version {
                changes = Arc::clone(store).changes(Position::default()).await?;
            }
            let epoch = changes.position.epoch;
            let is_empty = changes.rules.as_ref().is_some_and(|told| told.version == 0);
            if is_empty && is_another(since, epoch) {
                let all = self.known().all();
                if !all.is_empty() {
                    // If somebody was faster, be it with this or with something new, that counts.
                    let empty = Position { epoch, version: 0 };
                    Arc::clone(store).edit(all, empty).await?;
                    continue;
                }
            }
            let more = matches!(&changes.quotas, QuotaChanges::These(told) if told.len() >= PAGE);
            if self.apply(changes, since, at) && !more {
                return Ok(());
            }
        }
    }

    /// Takes over what the store told; false if it is not the latest by now.
    fn apply(&self, changes: Changes, since: Position, at: Position) -> bool {
        let mut known = self.known();
        if (known.since, known.at) != (since, at) {
            return false;
        }
        let Changes {
            position,
            rules,
            quotas,
            ..
        } = changes;
        if is_another(since, position.epoch) {
            tracing::warn!(
                "the store of rules has lost what it held: the rules that were known are there again, \
                 quotas of users are not"
            );
        }
        known.since = position;
        self.0.quotas.told(quotas, position);
        if rules.is_some_and(|rules| known.told(position.epoch, rules)) {
            if known.unreadable {
                let error = known.refused.as_ref();
                tracing::warn!(error = ?error, "stored rules cannot be read, the old ones stay");
            } else {
                self.put_into_force(&mut known);
            }
        }
        true
    }

    fn positions(&self) -> (Position, Position) {
        let known = self.known();
        (known.since, known.at)
    }

    fn put_into_force(&self, known: &mut Known) {
        let rules = known.rules();
        // As when nothing is stored yet: that is no change.
        if rules == self.0.limiter.rules() {
            known.refused = None;
            return;
        }
        // The limiter logs both outcomes.
        known.refused = self.0.limiter.reload(rules).err();
    }

    /// Changes rules, all of these or none, here at once and elsewhere within a second. Returns the
    /// [version](Self::version) that the rules have then.
    ///
    /// Cancel-safe: they are changed or not.
    ///
    /// # Errors
    ///
    /// [`EditError::Invalid`] names the rule and the field, by the names that they have with the
    /// feature `serde`; `name` if there are too many rules.
    pub async fn edit(&self, edits: impl IntoIterator<Item = Edit>) -> Result<u64, EditError> {
        let edits: Vec<Edit> = edits.into_iter().collect();
        let mut refused = None;
        for _ in 0..ATTEMPTS {
            match self.check(&edits) {
                Ok((checked, at)) => {
                    let store = Arc::clone(&self.0.store);
                    if let Some(version) = store.edit(checked.clone(), at).await? {
                        self.edited(checked, at, version);
                        return Ok(version);
                    }
                    self.synchronize().await?;
                }
                // It may be by what others have changed.
                Err(error) if refused.is_none() => {
                    if self.synchronize().await.is_err() {
                        return Err(error);
                    }
                    refused = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or(EditError::Contended))
    }

    fn check(&self, edits: &[Edit]) -> Result<(Edits, Position), EditError> {
        let (checked, rules, at) = {
            let known = self.known();
            let (checked, rules) = known.check(edits)?;
            (checked, rules, known.at)
        };
        self.0.limiter.check_rules(rules)?;
        Ok((checked, at))
    }

    fn edited(&self, edits: Edits, at: Position, version: u64) {
        if version == at.version {
            return;
        }
        for (rule, edit) in &edits {
            let is_there = edit.is_some();
            tracing::info!(%rule, is_there, version, "a rule is edited");
        }
        let mut known = self.known();
        // Otherwise the store has told it already, and perhaps more.
        if known.at == at {
            known.edited(edits, version);
            self.put_into_force(&mut known);
        }
    }

    /// Puts other rules in the place of those that the program was configured with; those of the store
    /// are put over them.
    ///
    /// # Errors
    ///
    /// If they are not valid, by themselves or with those of the store. The old ones stay in force.
    pub fn configure(&self, rules: Rules) -> Result<(), InvalidRules> {
        let mut known = self.known();
        let old = std::mem::replace(&mut known.configured, rules);
        let result = self.0.limiter.reload(known.rules());
        match &result {
            Ok(()) if !known.unreadable => known.refused = None,
            Ok(()) => {}
            Err(_) => known.configured = old,
        }
        result
    }

    /// The stored rule of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<SavedRule> {
        self.known().saved.get(name).cloned()
    }

    /// A page of the stored rules, by name, from behind `after` on: at most `limit`. What is in force,
    /// the [limiter](Limiter::rules) says.
    #[must_use]
    pub fn list(&self, after: Option<&str>, limit: usize) -> Vec<SavedRule> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let known = self.known();
        let saved = known.saved.range::<str, _>((after, Bound::Unbounded));
        saved.take(limit).map(|(_, saved)| saved.clone()).collect()
    }

    /// The version of the last change of a stored rule, as far as this instance knows; 0 if there was
    /// none.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.known().at.version
    }

    /// Why the stored rules are not in force here, if they are not: another instance, with another
    /// configuration or version of this crate, has written something that is not valid on this one.
    #[must_use]
    pub fn refused(&self) -> Option<InvalidRules> {
        self.known().refused.clone()
    }

    /// Gives the user this quota by this rule, instead of that of the rule and its roles: here at once,
    /// elsewhere within a second. Returns the version of that.
    ///
    /// Cancel-safe: it is assigned or not.
    ///
    /// # Errors
    ///
    /// [`EditError::Invalid`] if there is no rule of this name by user or caller, if the quota is too
    /// small for what a request costs, or the user id too long; [`EditError::Store`].
    pub async fn assign(
        &self,
        rule: &str,
        user: &Identity,
        quota: Quota,
    ) -> Result<u64, EditError> {
        let user = bounds::check_user(rule, user)?;
        let name = match self.assignable(rule, &quota) {
            Ok(name) => name,
            Err(invalid) => {
                // It may be a rule that this instance has not heard of.
                if self.synchronize().await.is_err() {
                    return Err(invalid.into());
                }
                self.assignable(rule, &quota)?
            }
        };
        let store = Arc::clone(&self.0.store);
        let position = store.assign(name.clone(), user.clone(), quota).await?;
        let quotas = &self.0.quotas;
        quotas.remember(&name, User::from(&user), Some(quota), position);
        Ok(position.version)
    }

    fn assignable(&self, name: &str, quota: &Quota) -> Result<PolicyName, InvalidRules> {
        let valid = bounds::check_name(name)?;
        let invalid = |field, message| InvalidRules::new(name, field, message);
        let rules = self.0.limiter.version();
        let Some((_, rule)) = rules.source.iter().find(|(known, _)| *known == name) else {
            return Err(invalid("name", "there is no rule of this name"));
        };
        if !matches!(rule.by, By::Caller | By::User) {
            return Err(invalid(
                "by",
                "only rules by user or caller have quotas of users",
            ));
        }
        if quota.capacity() < rule.cost.unwrap_or(1) {
            return Err(invalid(
                "quota",
                "the burst is less than what one request costs",
            ));
        }
        Ok(valid)
    }

    /// Takes the quota back: the user has that of the rule. Returns the version of that, or `None` if
    /// there was nothing to take back.
    ///
    /// Cancel-safe: it is withdrawn or not.
    ///
    /// # Errors
    ///
    /// [`EditError::Invalid`] if it is not the name of a rule, or the user id is too long;
    /// [`EditError::Store`].
    pub async fn withdraw(&self, rule: &str, user: &Identity) -> Result<Option<u64>, EditError> {
        let (name, user) = (bounds::check_name(rule)?, bounds::check_user(rule, user)?);
        let store = Arc::clone(&self.0.store);
        let Some(position) = store.withdraw(name.clone(), user.clone()).await? else {
            return Ok(None);
        };
        let quotas = &self.0.quotas;
        quotas.remember(&name, User::from(&user), None, position);
        Ok(Some(position.version))
    }

    /// The quota that was assigned to the user by this rule, as the store has it.
    ///
    /// # Errors
    ///
    /// As for [`withdraw`](Self::withdraw).
    pub async fn quota(&self, rule: &str, user: &Identity) -> Result<Option<Quota>, EditError> {
        let (name, user) = (bounds::check_name(rule)?, bounds::check_user(rule, user)?);
        Ok(Arc::clone(&self.0.store).quota(name, user).await?.quota)
    }

    /// A page of the quotas that were assigned, to all users or to one, as the store has them: at most
    /// `limit`, and at most [`PAGE`], by tenant, user and rule, from behind that user and rule on.
    ///
    /// # Errors
    ///
    /// If the store failed.
    pub async fn quotas(
        &self,
        of: Option<&Identity>,
        after: Option<(Identity, PolicyName)>,
        limit: usize,
    ) -> Result<Vec<Assigned>, Error> {
        // Nobody has one who could not have been given it.
        let mut users = of.into_iter().chain(after.as_ref().map(|(user, _)| user));
        if !users.all(|user| bounds::may_have_a_quota(User::from(user))) {
            return Ok(Vec::new());
        }
        let of = of.map(|user| User::from(user).to_identity());
        Arc::clone(&self.0.store)
            .quotas(of, after, limit.min(PAGE))
            .await
    }

    /// How long ago the store last answered; `None` if it never has.
    #[must_use]
    pub fn behind(&self) -> Option<Duration> {
        let answered = self.known().answered?;
        let now = self.0.limiter.settings().clock.now();
        Some(now.saturating_duration_since(answered))
    }

    /// What has been counted.
    #[must_use]
    pub fn stats(&self) -> RuleBookStats {
        self.0.counters.stats()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a store of this epoch is not the one that was known before.
fn is_another(since: Position, epoch: u64) -> bool {
    since != Position::default() && since.epoch != epoch
}

impl fmt::Debug for RuleBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuleBook")
            .field("store", &self.0.store)
            .field("version", &self.version())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
