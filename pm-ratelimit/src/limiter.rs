use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use pm_core::{Clock, Identity, Tick, TrustedProxies};

use crate::builder::LimiterBuilder;
use crate::complaints::Complaints;
use crate::emergency::Named;
use crate::headers::Headers;
use crate::key::{DigestKey, Keys};
use crate::rules::{Compiled, Picks, RuleSet, Single};
use crate::ruling;
use crate::telemetry::{self, Counters};
use crate::user_quotas::{Lookup, UserQuotas};
use crate::{
    Decision, Emergency, Error, Explanation, InvalidRules, MemoryStore, OnFailure, Op, PolicyName,
    Quota, RateLimitLayer, RateLimitStore, RefusalObserver, RuleDecisions, Rules, Stage, Stats,
    Subject, User, Verdict, observer,
};

/// Decides who may do how much: a handle that is cheap to clone and has no type parameters.
///
/// Clones share the buckets and the rules. The [layers](Self::layer) are made from one; anything
/// that is not an HTTP request, such as a WebSocket frame, asks it directly:
///
/// ```
/// use pm_ratelimit::{By, Limiter, Op, Quota, Rule, Rules, Subject, Verdict};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let address: std::net::IpAddr = [192, 0, 2, 1].into();
/// let rules = Rules::new()
///     .rule("user", Rule::always().by(By::User).quota(Quota::per_minute(300)).role("admin", 5))
///     .rule("bulk", Rule::on("bulk.*").by(By::User).quota(Quota::per_hour(10)).cost(2));
/// let limiter = Limiter::builder(rules).build()?;
///
/// let subject = Subject::user("u1").client(address);
/// match limiter.check(&subject, Op::new("task.update").cost(2)).await {
///     Verdict::Allowed(allowed) => println!("{} left", allowed.remaining()),
///     Verdict::Refused(refused) => println!("wait {:?}", refused.retry_after()),
///     Verdict::Never(never) => println!("at most {} at once", never.capacity()),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Limiter(Arc<Shared>);

struct Shared {
    rules: ArcSwap<RuleSet>,
    settings: Settings,
    counters: Arc<Counters>,
    store_complaints: Complaints,
    quota_complaints: Complaints,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) store: Arc<dyn RateLimitStore>,
    pub(crate) clock: Clock,
    pub(crate) keys: Keys,
    pub(crate) proxies: TrustedProxies,
    pub(crate) headers: Headers,
    pub(crate) user_quotas: Option<Arc<dyn UserQuotas>>,
    pub(crate) observers: Vec<Arc<dyn RefusalObserver>>,
    pub(crate) emergency: Option<Emergency>,
    pub(crate) counted: bool,
}

/// What was decided, by which rules. It owns all it needs, so that it can outlive the request.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) rules: Arc<RuleSet>,
    pub(crate) picks: Picks,
    pub(crate) decision: Result<Decision, Error>,
}

/// A decision that is waited for.
pub(crate) type PendingDecision = Pin<Box<dyn Future<Output = Decided> + Send + 'static>>;

impl Limiter {
    /// A limiter with these rules, to be configured.
    pub fn builder(rules: Rules) -> LimiterBuilder {
        LimiterBuilder::new(rules)
    }

    /// One quota for each caller, counted in memory: room for 100,000 buckets at a time, which
    /// takes 3.3 MB. A bucket that is full again needs no room.
    ///
    /// It is one rule by [`By::Caller`](crate::By::Caller), called `default`, in both stages. Two such
    /// limiters never share buckets.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self::in_store(Arc::new(MemoryStore::bounded(100_000)), quota)
    }

    /// One quota for each caller, counted in `store`, which may be shared with other limiters: their
    /// buckets stay apart.
    #[must_use]
    pub fn in_store(store: Arc<dyn RateLimitStore>, quota: Quota) -> Self {
        let keys = Keys::new(DigestKey::random());
        let name = PolicyName::from_static("default");
        let rules = RuleSet::of(
            Single {
                name,
                quota,
                on_failure: OnFailure::default(),
            },
            &keys,
        );
        Self::assemble(rules, Settings::new(store, keys))
    }

    pub(crate) fn assemble(mut rules: RuleSet, settings: Settings) -> Self {
        if settings.counted {
            rules.tally(None);
        }
        Self(Arc::new(Shared {
            rules: ArcSwap::from_pointee(rules),
            settings,
            counters: Arc::default(),
            store_complaints: Complaints::default(),
            quota_complaints: Complaints::default(),
        }))
    }

    /// The same limiter of one quota under this name, which appears in headers and problems. It
    /// starts with full buckets. One that has rules with names of their own stays as it is.
    #[must_use]
    pub fn with_name(self, name: PolicyName) -> Self {
        self.with_single(|single| single.name = name)
    }

    /// The same limiter on another clock. All limiters that share a store need the same. It no
    /// longer shares [changes of rules](Self::reload) with the one it was made from.
    ///
    /// Without it, the clock is [`Clock::system`].
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        self.with_settings(|settings| settings.clock = clock)
    }

    /// The same limiter, which tells one more of every refusal. It no longer shares
    /// [changes of rules](Self::reload) with the one it was made from.
    #[must_use]
    pub fn with_observer(self, observer: impl RefusalObserver) -> Self {
        self.with_settings(|settings| settings.observers.push(Arc::new(observer)))
    }

    fn with_settings(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.0.settings.clone();
        change(&mut settings);
        Self(Arc::new(Shared {
            rules: ArcSwap::new(self.0.rules.load_full()),
            settings,
            counters: Arc::default(),
            store_complaints: Complaints::default(),
            quota_complaints: Complaints::default(),
        }))
    }

    /// The same limiter of one quota with this answer when its store fails; where there are rules,
    /// [they say](crate::Rule::if_store_fails). A memory store never fails.
    ///
    /// Without it, the answer is [`OnFailure::Local`]. Either way the verdict says that it is
    /// [degraded](crate::Allowed::degraded), and a warning is logged: not for each request, but when
    /// it begins.
    #[must_use]
    pub fn with_on_failure(self, on_failure: OnFailure) -> Self {
        self.with_single(|single| single.on_failure = on_failure)
    }

    fn with_single(self, change: impl FnOnce(&mut Single)) -> Self {
        let Some(mut single) = self.0.rules.load().single.clone() else {
            return self;
        };
        change(&mut single);
        let settings = self.0.settings.clone();
        Self::assemble(RuleSet::of(single, &settings.keys), settings)
    }

    /// A layer that decides on HTTP requests by the rules of this stage.
    ///
    /// A service with authentication has two: one at the edge, outside it, and one inside it, for
    /// those who are identified. See [`RateLimitLayer`].
    #[must_use]
    pub fn layer(&self, stage: Stage) -> RateLimitLayer {
        RateLimitLayer::at(self.clone(), stage)
    }

    /// Asks whether `subject` may do that now, and charges it if so: a cost, or an [`Op`]. All rules
    /// that apply are one decision, all or nothing.
    ///
    /// It never fails: where the store does, [`OnFailure`] answers. With a memory store, and without
    /// quotas of users that take waiting, it is ready at once, and the same as
    /// [`try_check`](Self::try_check).
    ///
    /// Cancel-safe: a dropped question has either been charged or not, and holds nothing.
    pub async fn check<'a>(&self, subject: &Subject<'_>, op: impl Into<Op<'a>>) -> Verdict {
        let op = op.into();
        let pending = {
            let rules = self.0.rules.load();
            let mut picks = Picks::default();
            self.pick(&rules, subject, &op, &mut picks);
            match self.try_decide(&rules, &mut picks, subject) {
                Some(decision) => {
                    let verdict = self.verdict(&rules, &picks, Ok(&decision));
                    self.tell(&verdict, subject, &op);
                    return verdict;
                }
                None => self.decide(Guard::into_inner(rules), picks, subject),
            }
        };
        let decided = pending.await;
        let verdict = self.verdict(&decided.rules, &decided.picks, decided.decision.as_ref());
        self.tell(&verdict, subject, &op);
        verdict
    }

    /// The same without waiting: `None` if the store or the quotas of users cannot answer without. A
    /// memory store always can, and allocates nothing for it, but for a
    /// place among the readers of the rules on the first decision of a thread.
    pub fn try_check<'a>(&self, subject: &Subject<'_>, op: impl Into<Op<'a>>) -> Option<Verdict> {
        self.try_verdict(subject, &op.into())
    }

    fn try_verdict(&self, subject: &Subject<'_>, op: &Op<'_>) -> Option<Verdict> {
        let rules = self.version();
        let mut picks = Picks::default();
        self.pick(&rules, subject, op, &mut picks);
        let decision = self.try_decide(&rules, &mut picks, subject)?;
        let verdict = self.verdict(&rules, &picks, Ok(&decision));
        self.tell(&verdict, subject, op);
        Some(verdict)
    }

    /// Which rules apply to that, and why; and which do not. It charges nothing, asks no store and
    /// looks up no quotas of users.
    pub fn explain<'a>(&self, subject: &Subject<'_>, op: impl Into<Op<'a>>) -> Explanation {
        let profile = self.0.settings.profile();
        Explanation::new(&self.0.rules.load(), profile, subject, &op.into())
    }

    /// Puts other rules into force, for this limiter, its clones and its layers.
    ///
    /// Every request is decided by the rules before or by those after, never by a mixture. A rule
    /// that keeps its name keeps its buckets: what is owed in tokens stays owed, up to the burst of
    /// the new quota.
    ///
    /// # Errors
    ///
    /// If a rule is not valid, or an extra one of a profile is not beside them. The error names it and
    /// its field, and the old rules stay in force.
    pub fn reload(&self, rules: Rules) -> Result<(), InvalidRules> {
        let Settings { keys, .. } = &self.0.settings;
        let count = rules.iter().len();
        match RuleSet::compile(rules, self.0.settings.profiles(), keys) {
            Ok(mut rules) => {
                if self.0.settings.counted {
                    rules.tally(Some(&self.0.rules.load()));
                }
                self.0.rules.store(Arc::new(rules));
                tracing::info!(rules = count, "other rate limit rules are in force");
                telemetry::reloaded("applied");
                Ok(())
            }
            Err(invalid) => {
                tracing::warn!(error = %invalid, "rate limit rules are refused, the old ones stay");
                telemetry::reloaded("refused");
                Err(invalid)
            }
        }
    }

    /// Whether these rules could be put into force.
    pub(crate) fn check_rules(&self, rules: Rules) -> Result<(), InvalidRules> {
        let Settings { keys, .. } = &self.0.settings;
        RuleSet::compile(rules, self.0.settings.profiles(), keys).map(drop)
    }

    /// What may declare an emergency, if there is something.
    #[must_use]
    pub fn emergency(&self) -> Option<&Emergency> {
        self.0.settings.emergency.as_ref()
    }

    /// The rules that are in force, as they are without an emergency.
    pub fn rules(&self) -> Rules {
        self.0.rules.load().source.clone()
    }

    /// What each rule that is in force has decided; `None` if that is not
    /// [counted](LimiterBuilder::count_decisions).
    #[must_use]
    pub fn decisions(&self) -> Option<Vec<RuleDecisions>> {
        let rules = self.0.rules.load();
        let counted = rules.rules().iter();
        let counted = counted.map(|rule| rule.metrics.decisions(&rule.name));
        counted
            .collect::<Option<_>>()
            .filter(|_| self.0.settings.counted)
    }

    /// What has been counted of what is rare.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.counters.stats()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The rules that are in force: borrowed and not cloned, so that requests on many cores do not
    /// meet at one counter.
    pub(crate) fn version(&self) -> Guard<Arc<RuleSet>> {
        self.0.rules.load()
    }

    #[inline]
    fn pick(&self, rules: &RuleSet, subject: &Subject<'_>, op: &Op<'_>, picks: &mut Picks) {
        picks.profile = self.0.settings.profile();
        let mut unidentified = |rule: &Compiled| self.count_unidentified(rule);
        rules
            .pick(op, subject, &self.0.settings.keys, picks, &mut unidentified)
            .expect("the path of an Op was parsed when it was made");
    }

    pub(crate) fn count_unidentified(&self, rule: &Compiled) {
        self.0.counters.unidentified(&rule.metrics);
    }

    /// The decision, if it takes no waiting.
    #[inline]
    pub(crate) fn try_decide(
        &self,
        rules: &RuleSet,
        picks: &mut Picks,
        subject: &Subject<'_>,
    ) -> Option<Decision> {
        let Settings { store, clock, .. } = &self.0.settings;
        let now = clock.now();
        self.try_look_up(rules, picks, subject, now)?;
        if picks.rules.is_empty() {
            return Some(Decision::admitted([]));
        }
        store.try_decide(picks.charges.as_slice(), now)
    }

    /// Puts the quotas that users have of their own into the charges; `None` if that takes waiting.
    #[inline]
    fn try_look_up(
        &self,
        rules: &RuleSet,
        picks: &mut Picks,
        subject: &Subject<'_>,
        now: Tick,
    ) -> Option<()> {
        let (Some(quotas), Some(user)) = (&self.0.settings.user_quotas, subject.as_user()) else {
            return Some(());
        };
        let reductions = rules.reductions(picks.profile);
        for (pick, charge) in picks.rules.iter_mut().zip(picks.charges.as_mut_slice()) {
            if pick.by_user {
                let rule = rules.rule(pick.rule);
                match quotas.try_quota(&rule.name, user, now) {
                    Lookup::Own(quota) => pick.has_own(quota, charge, rule, reductions),
                    Lookup::Rule => {}
                    Lookup::Unknown => return None,
                }
            }
        }
        Some(())
    }

    /// The decision, waited for.
    pub(crate) fn decide(
        &self,
        rules: Arc<RuleSet>,
        mut picks: Picks,
        subject: &Subject<'_>,
    ) -> PendingDecision {
        let limiter = self.clone();
        let user = subject.as_user().map(|user| user.to_identity());
        Box::pin(async move {
            let Settings { store, clock, .. } = &limiter.0.settings;
            if let Some(user) = user {
                limiter.look_up(&rules, &mut picks, user).await;
            }
            let now = clock.now();
            // The look-ups may have been all that there was to wait for.
            let decision = match store.try_decide(picks.charges.as_slice(), now) {
                _ if picks.rules.is_empty() => Ok(Decision::admitted([])),
                Some(decision) => Ok(decision),
                None => Arc::clone(store).decide(picks.charges.clone(), now).await,
            };
            Decided {
                rules,
                picks,
                decision,
            }
        })
    }

    async fn look_up(&self, rules: &RuleSet, picks: &mut Picks, user: Identity) {
        let Some(quotas) = &self.0.settings.user_quotas else {
            return;
        };
        let now = self.0.settings.clock.now();
        let reductions = rules.reductions(picks.profile);
        for (pick, charge) in picks.rules.iter_mut().zip(picks.charges.as_mut_slice()) {
            if !pick.by_user {
                continue;
            }
            let rule = rules.rule(pick.rule);
            let quota = match quotas.try_quota(&rule.name, User::from(&user), now) {
                Lookup::Own(quota) => Ok(Some(quota)),
                Lookup::Rule => Ok(None),
                Lookup::Unknown => {
                    let quotas = Arc::clone(quotas);
                    quotas.quota(rule.name.clone(), user.clone(), now).await
                }
            };
            match quota {
                Ok(Some(quota)) => pick.has_own(quota, charge, rule, reductions),
                Ok(None) => {}
                Err(error) => {
                    // What is owed under a quota that cannot be looked up now is not forgiven.
                    *charge = charge.with_ceiling(u32::MAX);
                    self.0.counters.lookup_failed();
                    self.0
                        .quota_complaints
                        .hear_of_quota(&error, &rule.name, now);
                }
            }
        }
    }

    #[inline]
    fn verdict(
        &self,
        rules: &RuleSet,
        picks: &Picks,
        decision: Result<&Decision, &Error>,
    ) -> Verdict {
        self.count(rules, picks, decision);
        ruling::verdict(rules, picks, decision)
    }

    /// Tells those who watch, if it is a violation.
    #[inline]
    fn tell(&self, verdict: &Verdict, subject: &Subject<'_>, op: &Op<'_>) {
        let observers = &self.0.settings.observers;
        if !observers.is_empty() {
            observer::tell_of_verdict(observers, verdict, subject.as_client(), op);
        }
    }

    /// Counts a decision, and logs one that the store did not make.
    #[inline]
    pub(crate) fn count(
        &self,
        rules: &RuleSet,
        picks: &Picks,
        decision: Result<&Decision, &Error>,
    ) {
        if let Err(error) = decision {
            let Settings { store, clock, .. } = &self.0.settings;
            let complaints = &self.0.store_complaints;
            complaints.hear_of_store(error, store.state(), clock.now());
        }
        ruling::count(rules, picks, decision, &self.0.counters);
    }
}

impl Settings {
    pub(crate) fn new(store: Arc<dyn RateLimitStore>, keys: Keys) -> Self {
        Self {
            store,
            clock: Clock::system(),
            keys,
            proxies: TrustedProxies::none(),
            headers: Headers::default(),
            user_quotas: None,
            observers: Vec::new(),
            emergency: None,
            counted: false,
        }
    }

    /// The profiles that an emergency may be declared by.
    fn profiles(&self) -> &[Named] {
        self.emergency.as_ref().map_or(&[], Emergency::named)
    }

    /// The profile of the emergency that is in force now.
    #[inline]
    pub(crate) fn profile(&self) -> Option<u16> {
        self.emergency.as_ref()?.in_force()
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("rules", &self.0.rules.load().source)
            .field("store", &self.0.settings.store)
            .field("clock", &self.0.settings.clock)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
