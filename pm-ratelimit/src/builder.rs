use std::sync::Arc;

use pm_core::{Clock, TrustedProxies};

use crate::headers::Headers;
use crate::key::Keys;
use crate::limiter::Settings;
use crate::rules::RuleSet;
use crate::{
    DigestKey, Emergency, InvalidRules, Limiter, MemoryStore, RateLimitStore, RefusalObserver,
    Rules, UserQuotas,
};

/// A [`Limiter`] to be: its rules, and what it decides with.
#[derive(Debug)]
#[must_use = "it does nothing until it is built"]
pub struct LimiterBuilder {
    rules: Rules,
    store: Option<Arc<dyn RateLimitStore>>,
    key: Option<DigestKey>,
    clock: Clock,
    proxies: TrustedProxies,
    headers: Headers,
    user_quotas: Option<Arc<dyn UserQuotas>>,
    observers: Vec<Arc<dyn RefusalObserver>>,
    emergency: Option<Emergency>,
    counted: bool,
}

impl LimiterBuilder {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            store: None,
            key: None,
            clock: Clock::system(),
            proxies: TrustedProxies::none(),
            headers: Headers::default(),
            user_quotas: None,
            observers: Vec::new(),
            emergency: None,
            counted: false,
        }
    }

    /// Where the buckets are. Without it, in memory: room for 100,000 at a time.
    pub fn store(self, store: impl RateLimitStore) -> Self {
        self.shared_store(Arc::new(store))
    }

    /// Where the buckets are, if others use the same store, or if it was chosen at run time.
    pub fn shared_store(mut self, store: Arc<dyn RateLimitStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// The key that subjects are digested with. Without it a random one: processes that share a
    /// store need the same key to share its buckets, and so do limiters that are to share them.
    pub const fn digest_key(mut self, key: DigestKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Whose word about the client's address is taken, where no
    /// [`ClientIpLayer`](pm_core::ClientIpLayer) has found it already. Without it, nobody's.
    pub fn proxies(mut self, proxies: TrustedProxies) -> Self {
        self.proxies = proxies;
        self
    }

    /// Users with quotas of their own, for rules by user. Without it there are none.
    pub fn user_quotas(mut self, quotas: impl UserQuotas) -> Self {
        self.user_quotas = Some(Arc::new(quotas));
        self
    }

    /// The same, if others use them, too.
    pub fn shared_user_quotas(mut self, quotas: Arc<dyn UserQuotas>) -> Self {
        self.user_quotas = Some(quotas);
        self
    }

    /// One more who is told of every refusal, such as [`Violations`](crate::Violations) and
    /// [`BlockList`](crate::BlockList). Without any, a refusal is told nobody and costs nothing more.
    pub fn observer(mut self, observer: impl RefusalObserver) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// What may declare an emergency, in which the rules are those that its profile makes of them.
    /// Several limiters may have the same. Without it, the rules are always what they are.
    pub fn emergency(mut self, emergency: Emergency) -> Self {
        self.emergency = Some(emergency);
        self
    }

    /// Counts decisions by rule and outcome, for [`Limiter::decisions`]: a few nanoseconds for each rule
    /// that applies, and 1 KB of memory for each rule. What is counted goes on where rules change that
    /// keep their names. Without this, they are only counted by the feature `metrics`.
    pub const fn count_decisions(mut self) -> Self {
        self.counted = true;
        self
    }

    /// Which headers answers carry. Without it, `RateLimit` and `RateLimit-Policy`.
    pub const fn headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// The clock. All limiters that share a store need the same. Without it, [`Clock::system`].
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the rules, and puts them into force.
    ///
    /// # Errors
    ///
    /// If a rule is not valid, an extra one of a profile included: the error names it and its field.
    pub fn build(self) -> Result<Limiter, InvalidRules> {
        let keys = Keys::new(self.key.unwrap_or_else(DigestKey::random));
        let profiles = self.emergency.as_ref().map_or(&[][..], Emergency::named);
        let rules = RuleSet::compile(self.rules, profiles, &keys)?;
        let settings = Settings {
            store: (self.store).unwrap_or_else(|| Arc::new(MemoryStore::bounded(100_000))),
            clock: self.clock,
            keys,
            proxies: self.proxies,
            headers: self.headers,
            user_quotas: self.user_quotas,
            observers: self.observers,
            emergency: self.emergency,
            counted: self.counted,
        };
        Ok(Limiter::assemble(rules, settings))
    }
}
