use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{InvalidEmergency, Reduction};
use crate::rules::Multiplier;
use crate::{Rule, Rules};

/// What an emergency makes of the rules that are in force: less of everything, except for whoever is
/// exempt. Plain data.
///
/// It only ever takes away. A quota in the place of a rule's counts where it is slower, and where its
/// burst is smaller; an operation that costs more than what is left of the burst waits for a full
/// bucket, and is not refused for ever.
///
/// ```
/// use pm_ratelimit::emergency::{Answer, Profile, Reduction};
/// use pm_ratelimit::{By, Quota, Rule, Stage};
///
/// let storm = Profile::scale(1, 5)
///     .rule("login", Reduction::Exempt)
///     .rule("search", Quota::per_minute(6))
///     .extra("everyone", Rule::always().by(By::Everyone).quota(Quota::per_second(500)))
///     .exempt_role("admin")
///     .answering(Answer::TemporaryReducedCapacity);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(::serde::Serialize, ::serde::Deserialize),
    serde(default, deny_unknown_fields)
)]
#[must_use]
pub struct Profile {
    times: Multiplier,
    rules: BTreeMap<String, Reduction>,
    pub(crate) extra: Rules,
    pub(crate) exempt_roles: BTreeSet<String>,
    pub(crate) answer: Answer,
}

/// A profile, and what it is declared by.
pub(crate) type Named = (Arc<str>, Profile);

/// How a request is answered that only the emergency refuses: one that meets no quota which is as it
/// always was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(::serde::Serialize, ::serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum Answer {
    /// 429, as at other times: the quota is smaller now, and to ask for more is a violation.
    #[default]
    QuotaExceeded,
    /// 503 of the problem type `temporary-reduced-capacity`: it is not the caller's doing, and no
    /// violation.
    TemporaryReducedCapacity,
}

impl Profile {
    /// Nothing is reduced, until more is said.
    pub const fn new() -> Self {
        Self::of(Multiplier::ONE)
    }

    /// All quotas are reduced to `times`/`of` of what they are, rate and burst: rounded down to whole
    /// tokens, but at least one.
    ///
    /// # Panics
    ///
    /// If `times` is 0 or more than `of`. In a constant, that is a compile error.
    #[track_caller]
    pub const fn scale(times: u32, of: u32) -> Self {
        let Some(whole) = std::num::NonZeroU32::new(of) else {
            panic!("a part of 0 is none: write Profile::scale(1, 5)");
        };
        let times = Multiplier::ratio(times, whole);
        assert!(
            times.is_reduction(),
            "a profile reduces: write a part of the whole, such as Profile::scale(1, 5)"
        );
        Self::of(times)
    }

    const fn of(times: Multiplier) -> Self {
        Self {
            times,
            rules: BTreeMap::new(),
            extra: Rules::new(),
            exempt_roles: BTreeSet::new(),
            answer: Answer::QuotaExceeded,
        }
    }

    /// The rule of this name is reduced in another way than all others. Where there is no rule of the
    /// name, this has no effect.
    pub fn rule(mut self, name: impl Into<String>, reduction: impl Into<Reduction>) -> Self {
        self.rules.insert(name.into(), reduction.into());
        self
    }

    /// A rule that is only there in the emergency, on top of all others: so it is about everything in
    /// its stage. Its name is one that no other rule has.
    pub fn extra(mut self, name: impl Into<String>, rule: Rule) -> Self {
        self.extra = self.extra.rule(name, rule);
        self
    }

    /// For whoever has this role, everything stays as it is. ASCII case is ignored. At the edge nobody's
    /// roles are known.
    pub fn exempt_role(mut self, role: impl Into<String>) -> Self {
        self.exempt_roles.insert(role.into());
        self
    }

    /// How requests are answered that only the emergency refuses. Without it,
    /// [`Answer::QuotaExceeded`].
    pub const fn answering(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }

    /// What becomes of the rule of this name.
    pub(crate) fn reduction_of(&self, rule: &str) -> Option<Reduction> {
        let reduction = self.rules.get(rule).copied();
        let reduction = reduction.unwrap_or(Reduction::Times(self.times));
        Some(reduction).filter(|reduction| !reduction.is_none())
    }

    /// What can be told without the rules.
    pub(super) fn check(&self, name: &str) -> Result<(), InvalidEmergency> {
        let invalid = |field, message: String| Err(InvalidEmergency::new(name, field, message));
        let all = [("times", &self.times)];
        let single = self.rules.values().filter_map(|reduction| match reduction {
            Reduction::Times(times) => Some(("rules", times)),
            Reduction::Exempt | Reduction::To(_) => None,
        });
        for (field, times) in all.into_iter().chain(single) {
            if !times.is_reduction() {
                return invalid(
                    field,
                    format!("{times} is not a part of a quota: write one like 1/5"),
                );
            }
        }
        if let Some((rule, _)) = self.extra.iter().find(|(_, rule)| rule.on.is_some()) {
            return invalid(
                "extra",
                format!(
                    "the rule {rule:?} is about some requests only: to come on top of the others, it \
                     has no `on`"
                ),
            );
        }
        Ok(())
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::new()
    }
}
