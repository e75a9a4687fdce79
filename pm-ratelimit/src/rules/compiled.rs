use std::collections::{HashMap, HashSet};

use arrayvec::ArrayVec;
use http::HeaderValue;

use super::list::Rules;
use super::matcher::Matcher;
use super::pattern::{Pattern, PatternKind};
use super::{By, InvalidRules, MalformedPath, Path, Reductions, Rule, Stage};
use crate::emergency::{Named, Profile, Reduction};
use crate::key::Keys;
use crate::op::{Op, Target};
use crate::subject::Who;
use crate::telemetry::RuleMetrics;
use crate::{BucketId, Charge, Charges, Mode, OnFailure, PolicyName, Quota, Subject, headers};

/// Rules that have been checked, in the form that decisions are made by. One version of them.
#[derive(Debug)]
pub(crate) struct RuleSet {
    pub(crate) source: Rules,
    pub(crate) single: Option<Single>,
    /// The ones that are preferred come first, so that the number of a rule is its rank.
    rules: Vec<Compiled>,
    stages: [StageRules; 2],
    /// What each profile of an emergency makes of them.
    profiles: Vec<Reductions>,
}

/// What a limiter of one quota consists of.
#[derive(Clone, Debug)]
pub(crate) struct Single {
    pub(crate) name: PolicyName,
    pub(crate) quota: Quota,
    pub(crate) on_failure: OnFailure,
}

/// One checked rule.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) name: PolicyName,
    pub(crate) by: By,
    pub(crate) quota: Quota,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) priority: i32,
    pub(crate) stage: Stage,
    pub(crate) shadow: bool,
    pub(crate) on_failure: OnFailure,
    pub(crate) metrics: RuleMetrics,
    /// `RateLimit-Policy` of the quota, which is the same on most answers.
    pub(crate) policy: HeaderValue,
    /// What it charges nobody in particular: the bucket is the digest of its name, and the ceiling the
    /// capacity of the largest quota there is.
    charge: Charge,
    /// The profile of an emergency that it is only there in.
    only_in: Option<u16>,
    /// The largest multiplier first.
    roles: Vec<(Box<str>, Quota)>,
}

#[derive(Debug, Default)]
struct StageRules {
    always: Vec<u16>,
    paths: Matcher,
    operations: Matcher,
}

/// The rules that apply, and what they charge, in the same order.
#[derive(Debug, Default)]
pub(crate) struct Picks {
    /// The profile that has reduced the charges.
    pub(crate) profile: Option<u16>,
    pub(crate) rules: ArrayVec<Pick, { Charges::MAX }>,
    pub(crate) charges: Charges,
}

/// Whose bucket a rule charges.
#[derive(Clone, Copy)]
struct Asked {
    digest: u128,
    by_user: bool,
}

/// A rule that applies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pick {
    pub(crate) rule: u16,
    /// Whether a user is charged, who may have a quota of their own.
    pub(crate) by_user: bool,
    /// Whether less is left of the quota than at other times.
    pub(crate) reduced: bool,
}

impl Pick {
    /// The user has a quota of their own; in an emergency, what is left of it.
    ///
    /// There is room in it for a request, if the rule costs more by now than when it was assigned.
    pub(crate) fn has_own(
        &mut self,
        quota: Quota,
        charge: &mut Charge,
        rule: &Compiled,
        reductions: Option<&Reductions>,
    ) {
        let quota = quota.with_room_for(rule.charge.cost());
        // What is taken ahead of the rule's quota may have been reduced already.
        *charge = charge.with_quota(quota).leased(rule.charge.slice());
        if let Some(reductions) = reductions {
            (*charge, self.reduced) = reductions.reduce(self.rule, *charge);
        }
    }
}

impl RuleSet {
    pub(crate) fn compile(
        source: Rules,
        profiles: &[Named],
        keys: &Keys,
    ) -> Result<Self, InvalidRules> {
        let always = source.iter().map(|(name, rule)| (name, rule, None));
        let extra = (0u16..).zip(profiles).flat_map(|(number, (_, profile))| {
            let extra = profile.extra.iter();
            extra.map(move |(name, rule)| (name, rule, Some(number)))
        });
        let mut rules = always
            .chain(extra)
            .map(|(name, rule, only_in)| Compiled::new(name, rule, only_in, keys))
            .collect::<Result<Vec<_>, _>>()?;
        if rules.len() > usize::from(u16::MAX) {
            return Err(InvalidRules::new(
                "",
                "name",
                "there are more than 65,535 rules",
            ));
        }
        rules.sort_by(Compiled::by_preference);
        let mut stages = [StageRules::default(), StageRules::default()];
        let mut reductions: Vec<Reductions> = (profiles.iter())
            .map(|(name, profile)| Reductions::new(name, profile))
            .collect();
        for (number, rule) in rules.iter().enumerate() {
            let number = number as u16;
            for ((_, profile), reductions) in profiles.iter().zip(&mut reductions) {
                reductions.push(rule.reduction_by(profile));
            }
            if let Some(profile) = rule.only_in {
                reductions[usize::from(profile)].push_extra(rule.stage, number);
                continue;
            }
            let stage = &mut stages[rule.stage as usize];
            match &rule.pattern {
                None => stage.always.push(number),
                Some(pattern) => match pattern.kind {
                    PatternKind::Operation => stage.operations.insert(&pattern.parts, number),
                    PatternKind::Path => stage.paths.insert(&pattern.parts, number),
                },
            }
        }
        let mut names = HashSet::new();
        for rule in &rules {
            let name = rule.name.as_str();
            if !names.insert(name) {
                return Err(InvalidRules::new(name, "name", "two rules have this name"));
            }
            let stage = &stages[rule.stage as usize];
            let one_of = !stage.paths.is_empty() || !stage.operations.is_empty();
            let extra = rule.only_in.map_or(0, |profile| {
                reductions[usize::from(profile)].extra(rule.stage).len()
            });
            if stage.always.len() + extra + usize::from(one_of) > Charges::MAX {
                return Err(InvalidRules::new(
                    name,
                    "stage",
                    "more than eight rules of this stage may apply to one request: drop one, or \
                     put one into the other stage",
                ));
            }
        }
        Ok(Self {
            source,
            single: None,
            rules,
            stages,
            profiles: reductions,
        })
    }

    /// One rule for whoever calls, in every stage.
    pub(crate) fn of(single: Single, keys: &Keys) -> Self {
        let rule = Rule::always()
            .quota(single.quota)
            .if_store_fails(single.on_failure);
        let source = Rules::new().rule(single.name.as_str(), rule);
        let mut set =
            Self::compile(source, &[], keys).expect("a name and a quota are all it needs");
        for stage in &mut set.stages {
            stage.always = vec![0];
        }
        set.single = Some(single);
        set
    }

    #[inline]
    pub(crate) fn rule(&self, number: u16) -> &Compiled {
        &self.rules[usize::from(number)]
    }

    pub(crate) fn rules(&self) -> &[Compiled] {
        &self.rules
    }

    /// Counts decisions by rule; on from what these rules have counted, where the names are the same.
    pub(crate) fn tally(&mut self, before: Option<&Self>) {
        let known = before.into_iter().flat_map(|before| &before.rules);
        let known: HashMap<&str, &RuleMetrics> = known
            .map(|known| (known.name.as_str(), &known.metrics))
            .collect();
        for rule in &mut self.rules {
            rule.metrics.tally(known.get(rule.name.as_str()).copied());
        }
    }

    /// What the profile of this number makes of the rules.
    #[inline]
    pub(crate) fn reductions(&self, profile: Option<u16>) -> Option<&Reductions> {
        profile.map(|number| &self.profiles[usize::from(number)])
    }

    /// Calls `found` for each rule about requests or operations of this kind, in no order.
    pub(crate) fn each_match(
        &self,
        stage: Stage,
        target: &Target<'_>,
        found: &mut impl FnMut(u16),
    ) -> Result<(), MalformedPath> {
        let rules = &self.stages[stage as usize];
        match *target {
            Target::Anything => {}
            Target::Operation(name) if !rules.operations.is_empty() => {
                // What is deeper stays in one piece: no literal is like that, a wildcard is.
                let segments: ArrayVec<&str, 16> = name.splitn(16, '.').collect();
                rules.operations.each_match(&segments, found);
            }
            Target::Request { method, path } if !rules.paths.is_empty() => {
                let path = Path::parse(path)?;
                rules.paths.each_match(path.segments(), &mut |number| {
                    let pattern = &self.rule(number).pattern;
                    if pattern
                        .as_ref()
                        .is_some_and(|pattern| pattern.admits(Some(method)))
                    {
                        found(number);
                    }
                });
            }
            Target::Operation(_) | Target::Request { .. } => {}
        }
        Ok(())
    }

    /// The one rule that applies of those that [match](Self::each_match).
    #[inline]
    pub(crate) fn winner(
        &self,
        stage: Stage,
        target: &Target<'_>,
    ) -> Result<Option<u16>, MalformedPath> {
        if matches!(target, Target::Anything) {
            return Ok(None);
        }
        let mut winner: Option<u16> = None;
        self.each_match(stage, target, &mut |number| {
            winner = Some(winner.map_or(number, |winner| winner.min(number)));
        })?;
        Ok(winner)
    }

    #[inline]
    pub(crate) fn always(&self, stage: Stage) -> &[u16] {
        &self.stages[stage as usize].always
    }

    /// The rules that apply, and what each charges whom, in an emergency of the profile that the picks
    /// name. Into picks that are empty otherwise, since to move them costs more than to look for one.
    #[inline]
    pub(crate) fn pick(
        &self,
        op: &Op<'_>,
        subject: &Subject<'_>,
        keys: &Keys,
        picks: &mut Picks,
        unidentified: &mut impl FnMut(&Compiled),
    ) -> Result<(), MalformedPath> {
        let Op {
            target,
            cost,
            stage,
        } = *op;
        let winner = self.winner(stage, &target)?;
        let reductions = self.reductions(picks.profile);
        let reductions = reductions.filter(|reductions| !reductions.exempts(subject));
        if reductions.is_none() {
            picks.profile = None;
        }
        let extra = reductions.map_or(&[][..], |reductions| reductions.extra(stage));
        // Rules by the same kind of subject stand next to each other more often than not.
        let mut last: Option<(&By, Asked)> = None;
        for number in self
            .always(stage)
            .iter()
            .chain(extra)
            .copied()
            .chain(winner)
        {
            let rule = self.rule(number);
            let Asked { digest, by_user } = match last {
                Some((by, asked)) if *by == rule.by => asked,
                _ => {
                    let Some(who) = subject.who(&rule.by) else {
                        unidentified(rule);
                        continue;
                    };
                    Asked {
                        digest: keys.subject(&who),
                        by_user: matches!(who, Who::User(_)),
                    }
                }
            };
            last = Some((&rule.by, Asked { digest, by_user }));
            let mut charge = rule.charge.of_subject(digest, cost);
            if by_user && let Some((_, quota)) = rule.role_of(subject) {
                charge = charge.with_role(*quota);
            }
            let mut reduced = false;
            if let Some(reductions) = reductions {
                (charge, reduced) = reductions.reduce(number, charge);
            }
            // That there are no more than eight was checked when the rules were.
            if picks.charges.push(charge).is_ok() {
                picks.rules.push(Pick {
                    rule: number,
                    by_user,
                    reduced,
                });
            }
        }
        Ok(())
    }
}

impl Compiled {
    fn new(
        name: &str,
        rule: &Rule,
        only_in: Option<u16>,
        keys: &Keys,
    ) -> Result<Self, InvalidRules> {
        let invalid = |field, message: String| InvalidRules::new(name, field, message);
        let policy = PolicyName::try_from(name.to_owned())
            .map_err(|error| invalid("name", error.to_string()))?;
        let pattern = rule.on.as_deref().map(Pattern::parse).transpose();
        let pattern = pattern.map_err(|message| InvalidRules::new(name, "on", message))?;
        if let By::Custom(kind) = &rule.by
            && (kind.is_empty() || kind.len() > 64)
        {
            return Err(InvalidRules::new(name, "by", "a kind has 1 to 64 bytes"));
        }
        let Some(quota) = rule.quota else {
            return Err(InvalidRules::new(
                name,
                "quota",
                "it is missing: write one like 300/minute burst 50",
            ));
        };
        let cost = rule.cost.unwrap_or(1);
        let roles = roles(name, rule, &quota)?;
        let least = roles.iter().map(|(_, quota)| quota).chain([&quota]);
        let least = least.map(Quota::capacity).min().unwrap_or(0);
        if cost == 0 || cost > least {
            return Err(InvalidRules::new(
                name,
                "cost",
                format!("a request costs at least 1 token and at most the burst, {least}"),
            ));
        }
        let slice = rule.leased;
        if slice.is_some_and(|slice| slice == 0 || slice > least) {
            return Err(invalid(
                "leased",
                format!(
                    "an instance takes at least 1 token ahead and at most the burst, {least}: leave \
                     it out to ask the store each time"
                ),
            ));
        }
        let ceiling = roles.iter().map(|(_, quota)| quota.capacity()).max();
        let mode = if rule.shadow {
            Mode::Shadow
        } else {
            Mode::Enforce
        };
        let charge = Charge::new(BucketId::from_u128(keys.rule(&policy)), quota, cost)
            .with_ceiling(ceiling.unwrap_or_default())
            .with_mode(mode)
            .with_on_failure(rule.if_store_fails)
            .leased(slice.unwrap_or_default());
        Ok(Self {
            charge,
            only_in,
            metrics: RuleMetrics::new(&policy),
            policy: headers::policy(&policy, &quota),
            name: policy,
            by: rule.by.clone(),
            quota,
            stage: rule
                .stage
                .unwrap_or_else(|| default_stage(rule, pattern.as_ref())),
            pattern,
            priority: rule.priority,
            shadow: rule.shadow,
            on_failure: rule.if_store_fails,
            roles,
        })
    }

    /// What the profile of an emergency makes of it: nothing of what is there for an emergency alone.
    fn reduction_by(&self, profile: &Profile) -> Option<Reduction> {
        let reduction = profile.reduction_of(self.name.as_str());
        reduction.filter(|_| self.only_in.is_none())
    }

    /// Whether it is there in an emergency of this profile.
    pub(crate) fn is_in(&self, profile: Option<u16>) -> bool {
        self.only_in.is_none() || self.only_in == profile
    }

    fn by_preference(&self, other: &Self) -> std::cmp::Ordering {
        let specificity = match (&self.pattern, &other.pattern) {
            (Some(ours), Some(theirs)) => ours.specificity(theirs),
            (ours, theirs) => theirs.is_some().cmp(&ours.is_some()),
        };
        (other.priority.cmp(&self.priority))
            .then(specificity)
            .then_with(|| self.name.as_str().cmp(other.name.as_str()))
    }

    /// The quota that the roles of the subject give.
    pub(crate) fn quota_for(&self, subject: &Subject<'_>) -> Quota {
        self.role_of(subject)
            .map_or(self.quota, |(_, quota)| *quota)
    }

    pub(crate) fn role_of(&self, subject: &Subject<'_>) -> Option<&(Box<str>, Quota)> {
        self.roles.iter().find(|(role, _)| subject.has_role(role))
    }
}

/// Before somebody is known, only an address is.
fn default_stage(rule: &Rule, pattern: Option<&Pattern>) -> Stage {
    let operation = pattern.is_some_and(|pattern| pattern.kind == PatternKind::Operation);
    match rule.by {
        By::Client | By::Everyone if !operation => Stage::Edge,
        _ => Stage::Identified,
    }
}

fn roles(name: &str, rule: &Rule, quota: &Quota) -> Result<Vec<(Box<str>, Quota)>, InvalidRules> {
    let invalid = |message: String| InvalidRules::new(name, "roles", message);
    if !rule.roles.is_empty() && rule.by != By::User {
        return Err(invalid(
            "only users have roles: make it a rule by user".to_owned(),
        ));
    }
    let mut sorted: Vec<_> = rule.roles.iter().collect();
    sorted.sort_by(|(_, a), (_, b)| b.is_larger_than(a).cmp(&a.is_larger_than(b)));
    let mut roles: Vec<(Box<str>, Quota)> = Vec::new();
    for (role, multiplier) in sorted {
        let shown: String = role.chars().take(64).collect();
        let role = role.to_ascii_lowercase().into_boxed_str();
        if role.is_empty() || roles.iter().any(|(known, _)| *known == role) {
            return Err(invalid(format!(
                "the role {shown:?} is empty or there twice: ASCII case is ignored"
            )));
        }
        let Some(quota) = multiplier.apply(quota) else {
            return Err(invalid(format!(
                "{multiplier} times {quota} for the role {shown:?} is not a possible quota"
            )));
        };
        roles.push((role, quota));
    }
    Ok(roles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DigestKey;

    #[test]
    fn of_a_quota_of_ones_own_as_much_less_is_taken_ahead_once() {
        let rule = Rule::always().by(By::User).quota(Quota::per_second(100));
        let rules = Rules::new().rule("user", rule.cost(2).leased(10));
        let profiles = [("storm".into(), Profile::scale(1, 2))];
        let keys = Keys::new(DigestKey::random());
        let rules = RuleSet::compile(rules, &profiles, &keys).expect("valid");
        let mut picks = Picks {
            profile: Some(0),
            ..Picks::default()
        };
        let op = Op::new("an operation");
        (rules.pick(&op, &Subject::user("ada"), &keys, &mut picks, &mut |_| {})).expect("no path");
        let (pick, charge) = (&mut picks.rules[0], &mut picks.charges.as_mut_slice()[0]);
        assert_eq!(charge.slice(), 5);
        for _ in 0..2 {
            let (rule, reductions) = (rules.rule(0), rules.reductions(Some(0)));
            pick.has_own(Quota::per_second(60), charge, rule, reductions);
            assert_eq!((charge.quota().capacity(), charge.slice()), (30, 5));
        }
    }
}
