use std::sync::Arc;

use super::Stage;
use crate::emergency::{Answer, Profile, Reduction};
use crate::{Charge, Quota, Subject};

/// A profile, applied to rules that have been checked.
#[derive(Debug)]
pub(crate) struct Reductions {
    pub(crate) name: Arc<str>,
    pub(crate) answer: Answer,
    exempt_roles: Box<[Box<str>]>,
    /// By the number of the rule; none if it stays as it is.
    of_rules: Vec<Option<Reduction>>,
    /// Rules that are only there now, by stage.
    extra: [Vec<u16>; 2],
}

impl Reductions {
    pub(super) fn new(name: &Arc<str>, profile: &Profile) -> Self {
        Self {
            name: Arc::clone(name),
            answer: profile.answer,
            exempt_roles: (profile.exempt_roles.iter())
                .map(|role| role.as_str().into())
                .collect(),
            of_rules: Vec::new(),
            extra: [Vec::new(), Vec::new()],
        }
    }

    pub(super) fn push(&mut self, reduction: Option<Reduction>) {
        self.of_rules.push(reduction);
    }

    pub(super) fn push_extra(&mut self, stage: Stage, number: u16) {
        self.extra[stage as usize].push(number);
    }

    #[inline]
    pub(crate) fn extra(&self, stage: Stage) -> &[u16] {
        &self.extra[stage as usize]
    }

    pub(crate) fn exempts(&self, subject: &Subject<'_>) -> bool {
        self.exempt_roles.iter().any(|role| subject.has_role(role))
    }

    /// What is left of a charge of this rule, and whether that is less.
    pub(crate) fn reduce(&self, rule: u16, charge: Charge) -> (Charge, bool) {
        let Some(reduction) = &self.of_rules[usize::from(rule)] else {
            return (charge, self.is_extra(rule));
        };
        let reduced = charge.reduced(reduction);
        (reduced, reduced.quota() != charge.quota())
    }

    /// The same for a quota that nothing is charged of yet.
    pub(crate) fn reduce_quota(&self, rule: u16, quota: Quota) -> Quota {
        self.of_rules[usize::from(rule)].map_or(quota, |reduction| reduction.of(&quota, 0))
    }

    pub(crate) fn is_extra(&self, rule: u16) -> bool {
        self.extra.iter().any(|extra| extra.contains(&rule))
    }
}
