use std::fmt;
use std::sync::Arc;

use crate::rules::{Compiled, RuleSet};
use crate::{Op, PolicyName, Quota, Subject};

/// Which rules apply to a request or an operation, and why.
///
/// Its `Display` is for people: one line for each rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    rules: Vec<Explained>,
    emergency: Option<Arc<str>>,
}

/// What an [`Explanation`] says about one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    rule: PolicyName,
    because: Because,
    quota: Quota,
    role: Option<Box<str>>,
    shadow: bool,
    reduced: bool,
}

/// Why a rule applies, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Because {
    /// It applies: it is about everything in its stage.
    Always,
    /// It does not apply: this rule matches, too, and goes before it.
    Beaten(PolicyName),
    /// It does not apply: it is about something else, or belongs to the other stage.
    Elsewhere,
    /// It applies: of those that match, it has the highest priority, and then is the most specific.
    MostSpecific,
    /// It does not apply: whose bucket it would charge is not known.
    Unidentified,
}

impl Explanation {
    pub(crate) fn new(
        rules: &RuleSet,
        profile: Option<u16>,
        subject: &Subject<'_>,
        op: &Op<'_>,
    ) -> Self {
        let reductions = rules.reductions(profile);
        let reductions = reductions.filter(|reductions| !reductions.exempts(subject));
        let profile = profile.filter(|_| reductions.is_some());
        let mut matching = Vec::new();
        let matched = rules.each_match(op.stage, &op.target, &mut |rule| matching.push(rule));
        // A path without a normal form matches nothing; the layer answers it before any rule.
        let winner = matched.ok().and(matching.iter().copied().min());
        let because = |number: u16, rule: &Compiled| {
            let matches = matching.contains(&number);
            if rules.always(op.stage).contains(&number)
                || reductions.is_some_and(|reductions| reductions.extra(op.stage).contains(&number))
            {
                Because::Always
            } else if !matches {
                return Because::Elsewhere;
            } else if let Some(winner) = winner.filter(|winner| *winner != number) {
                return Because::Beaten(rules.rule(winner).name.clone());
            } else {
                Because::MostSpecific
            }
            .unless(subject.who(&rule.by).is_none())
        };
        let there = (0u16..).zip(rules.rules());
        let there = there.filter(|(_, rule)| rule.is_in(profile));
        let explained = there.map(|(number, rule)| {
            let whole = rule.quota_for(subject);
            let quota =
                reductions.map_or(whole, |reductions| reductions.reduce_quota(number, whole));
            Explained {
                rule: rule.name.clone(),
                because: because(number, rule),
                reduced: quota != whole || reductions.is_some_and(|all| all.is_extra(number)),
                quota,
                role: rule.role_of(subject).map(|(role, _)| role.clone()),
                shadow: rule.shadow,
            }
        });
        Self {
            rules: explained.collect(),
            emergency: reductions.map(|reductions| Arc::clone(&reductions.name)),
        }
    }

    /// All rules that are in force, in the order of preference.
    #[must_use]
    pub fn rules(&self) -> &[Explained] {
        &self.rules
    }

    /// The profile of the emergency that is in force, if there is one and the subject is not exempt.
    #[must_use]
    pub fn emergency(&self) -> Option<&str> {
        self.emergency.as_deref()
    }

    /// Those that apply.
    pub fn applying(&self) -> impl Iterator<Item = &Explained> {
        self.rules.iter().filter(|rule| rule.applies())
    }
}

impl Explained {
    /// The name of the rule.
    #[must_use]
    pub const fn rule(&self) -> &PolicyName {
        &self.rule
    }

    /// Why it applies, or why not.
    #[must_use]
    pub const fn because(&self) -> &Because {
        &self.because
    }

    /// Whether it applies.
    #[must_use]
    pub const fn applies(&self) -> bool {
        matches!(self.because, Because::Always | Because::MostSpecific)
    }

    /// The quota of the subject by this rule, by the roles that they have; what is left of it in an
    /// emergency.
    #[must_use]
    pub const fn quota(&self) -> &Quota {
        &self.quota
    }

    /// The role that gives the quota, in lower case.
    #[must_use]
    pub fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    /// Whether an emergency has made less of the quota, or the rule is only there because of it.
    #[must_use]
    pub const fn is_reduced(&self) -> bool {
        self.reduced
    }

    /// Whether the rule is on trial.
    #[must_use]
    pub const fn is_shadow(&self) -> bool {
        self.shadow
    }
}

impl Because {
    fn unless(self, unidentified: bool) -> Self {
        if unidentified {
            Self::Unidentified
        } else {
            self
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Always => "applies: it is about everything",
            Self::Beaten(by) => {
                return write!(f, "does not apply: {:?} goes before it", by.as_str());
            }
            Self::Elsewhere => "does not apply: it is about something else",
            Self::MostSpecific => "applies: it is the most specific one that matches",
            Self::Unidentified => "does not apply: whose bucket it would charge is not known",
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rule in &self.rules {
            let Explained {
                rule: name,
                because,
                quota,
                ..
            } = rule;
            write!(f, "{:?} {because}", name.as_str())?;
            if rule.applies() {
                write!(f, ", {quota}")?;
            }
            if let Some(role) = rule.role() {
                write!(f, " as {role}")?;
            }
            if rule.shadow {
                f.write_str(", on trial")?;
            }
            if rule.reduced {
                f.write_str(", in an emergency")?;
            }
            f.write_str("\n")?;
        }
        Ok(())
    }
}
