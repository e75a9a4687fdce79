use std::time::Duration;

use crate::emergency::Answer;
use crate::rules::{Compiled, Picks, RuleSet};
use crate::telemetry::{Counters, Result as Counted};
use crate::{
    Allowed, Decision, Error, Mode, Never, OnFailure, Outcome, PolicyName, Quota, Refused, Verdict,
};

/// What was decided on a request, by which rules, of which version.
#[derive(Debug)]
pub(crate) struct Ruling<'a> {
    rules: &'a RuleSet,
    picks: &'a Picks,
    admitted: bool,
    /// The store did not answer, or its fallback may not.
    failed: bool,
    /// In the order of the picks; none if the store did not answer.
    outcomes: &'a [Outcome],
}

/// One enforced rule's part in a ruling, for those who render it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) rule: &'a Compiled,
    pub(crate) quota: &'a Quota,
    pub(crate) outcome: &'a Outcome,
}

impl<'a> Ruling<'a> {
    #[inline]
    pub(crate) fn new(
        rules: &'a RuleSet,
        picks: &'a Picks,
        decision: Result<&'a Decision, &Error>,
    ) -> Self {
        let outcomes = decision.map_or(&[][..], Decision::outcomes);
        Self {
            admitted: admits(rules, picks, decision),
            failed: decision.is_err() || outcomes.iter().any(Outcome::is_closed),
            rules,
            picks,
            outcomes,
        }
    }

    pub(crate) const fn is_admitted(&self) -> bool {
        self.admitted
    }

    pub(crate) const fn is_failed(&self) -> bool {
        self.failed
    }

    /// The rules that have a say, with what is known of their buckets.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part<'_>> + Clone {
        (self.picks.rules.iter().zip(self.picks.charges.as_slice()))
            .zip(self.outcomes)
            .map(|((pick, charge), outcome)| Part {
                rule: self.rules.rule(pick.rule),
                quota: charge.quota(),
                outcome,
            })
            .filter(|part| !part.rule.shadow && part.outcome.is_known())
    }

    /// Those that refuse.
    pub(crate) fn violated(&self) -> impl Iterator<Item = Part<'_>> + Clone {
        self.parts().filter(|part| !part.outcome.is_allowed())
    }

    pub(crate) fn is_never(&self) -> bool {
        self.violated().any(|part| part.outcome.is_never())
    }

    /// Whether only the emergency refuses, and its profile says that this is for want of capacity.
    pub(crate) fn is_reduced_capacity(&self) -> bool {
        is_reduced_capacity(self.rules, self.picks, self.outcomes)
    }

    /// The longest of the waits of those that refuse; `None` if one of them always will.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        if self.failed {
            return Some(Refused::BLIND_WAIT);
        }
        let mut longest = None;
        for part in self.violated() {
            longest = longest.max(Some(part.outcome.retry_after()?));
        }
        longest
    }
}

/// Whether the decision is a yes; without one, whether the rules are open then.
#[inline]
pub(crate) fn admits(rules: &RuleSet, picks: &Picks, decision: Result<&Decision, &Error>) -> bool {
    match decision {
        Ok(decision) => decision.is_admitted(),
        Err(_) => picks.rules.iter().all(|pick| {
            let rule = rules.rule(pick.rule);
            rule.shadow || rule.on_failure != OnFailure::Closed
        }),
    }
}

/// Whether every rule that refuses has less than at other times, and the profile of the emergency says
/// that this is for want of capacity.
fn is_reduced_capacity(rules: &RuleSet, picks: &Picks, outcomes: &[Outcome]) -> bool {
    let Some(reductions) = rules.reductions(picks.profile) else {
        return false;
    };
    let mut refusing = (picks.rules.iter().zip(outcomes))
        .filter(|(pick, outcome)| !rules.rule(pick.rule).shadow && !outcome.is_allowed());
    reductions.answer == Answer::TemporaryReducedCapacity && refusing.all(|(pick, _)| pick.reduced)
}

/// The verdict on a subject's question.
#[inline]
pub(crate) fn verdict(
    rules: &RuleSet,
    picks: &Picks,
    decision: Result<&Decision, &Error>,
) -> Verdict {
    let admitted = admits(rules, picks, decision);
    let Ok(decision) = decision else {
        return if admitted {
            Verdict::Allowed(Allowed {
                outcome: None,
                degraded: true,
            })
        } else {
            Verdict::Refused(Refused {
                outcome: None,
                policy: None,
                degraded: true,
                reduced_capacity: false,
            })
        };
    };
    let degraded = decision.is_degraded();
    let enforced = (picks.rules.iter().zip(picks.charges.as_slice()))
        .zip(decision.outcomes())
        .map(|((pick, charge), outcome)| (pick, charge, outcome))
        .filter(|(_, charge, _)| charge.mode() == Mode::Enforce);
    if admitted {
        let tightest = enforced
            .map(|(_, _, outcome)| *outcome)
            .filter(Outcome::is_known)
            .min_by_key(|outcome| (outcome.remaining(), u64::MAX - outcome.reset_nanos()));
        return Verdict::Allowed(Allowed {
            outcome: tightest,
            degraded,
        });
    }
    // A charge that never fits waits for longest.
    let longest = enforced
        .filter(|(_, _, outcome)| !outcome.is_allowed())
        .max_by_key(|(_, _, outcome)| outcome.wait_nanos());
    let policy = |rule: u16| -> PolicyName { rules.rule(rule).name.clone() };
    match longest {
        Some((pick, charge, outcome)) if outcome.is_never() => Verdict::Never(Never {
            policy: policy(pick.rule),
            cost: charge.cost(),
            capacity: charge.quota().capacity(),
        }),
        other => Verdict::Refused(Refused {
            outcome: other.map(|(_, _, outcome)| *outcome),
            policy: other.map(|(pick, _, _)| policy(pick.rule)),
            degraded,
            reduced_capacity: is_reduced_capacity(rules, picks, decision.outcomes()),
        }),
    }
}

/// Counts a decision, and says that a rule on trial would have refused.
#[inline]
pub(crate) fn count(
    rules: &RuleSet,
    picks: &Picks,
    decision: Result<&Decision, &Error>,
    counters: &Counters,
) {
    let Ok(decision) = decision else {
        counters.failed();
        let closed = !admits(rules, picks, decision);
        for pick in &picks.rules {
            rules.rule(pick.rule).metrics.decided(if closed {
                Counted::FailedClosed
            } else {
                Counted::FailedOpen
            });
        }
        return;
    };
    if decision.is_degraded() {
        counters.degraded();
    }
    for (pick, outcome) in picks.rules.iter().zip(decision.outcomes()) {
        let rule = rules.rule(pick.rule);
        let allowed = outcome.is_allowed();
        if decision.is_degraded() {
            rule.metrics.degraded();
        }
        if outcome.is_closed() {
            rule.metrics.decided(Counted::FailedClosed);
        } else if decision.is_degraded() && decision.is_admitted() && !outcome.is_known() {
            rule.metrics.decided(Counted::FailedOpen);
        } else if rule.shadow && !allowed {
            counters.shadow_refused();
            tracing::debug!(policy = rule.name.as_str(), "a rule on trial would refuse");
            rule.metrics.decided(Counted::ShadowRefused);
        } else if allowed && decision.is_admitted() {
            rule.metrics.decided(Counted::Allowed);
        } else if outcome.is_never() {
            rule.metrics.decided(Counted::Never);
        } else if !allowed && pick.reduced {
            rule.metrics.decided(Counted::Reduced);
        } else if !allowed {
            rule.metrics.decided(Counted::Refused);
        }
    }
}
