use std::sync::Arc;

use super::{RuleBook, RuleStore};
use crate::{InvalidRules, LimiterBuilder, guard};

/// A [`RuleBook`] to be.
#[derive(Debug)]
#[must_use = "it does nothing until it is built"]
pub struct RuleBookBuilder {
    limiter: LimiterBuilder,
    store: Option<Arc<dyn RuleStore>>,
    users: usize,
}

impl RuleBookBuilder {
    pub(super) const fn new(limiter: LimiterBuilder) -> Self {
        Self {
            limiter,
            store: None,
            users: 100_000,
        }
    }

    /// Where rules and quotas of users are kept, for all instances that share it. Without it, in the
    /// memory of this process.
    pub fn store(mut self, store: Arc<dyn RuleStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// How many users' quotas are remembered, with and without one of their own, about 100 bytes for
    /// each and for each rule by user. Without it, 100,000. Whoever is not remembered is asked about,
    /// and their request waits for that.
    pub const fn users(mut self, users: usize) -> Self {
        self.users = users;
        self
    }

    /// Builds the limiter, and a book that knows its rules, and no others until it is
    /// [run](RuleBook::run).
    ///
    /// # Errors
    ///
    /// If a rule of the limiter is not valid.
    pub fn build(self) -> Result<RuleBook, InvalidRules> {
        let store = self.store;
        let store = store.unwrap_or_else(|| Arc::new(guard::MemoryStore::new()));
        RuleBook::start(self.limiter, store, self.users)
    }
}
