//! What every [`RuleStore`] promises of rules.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pm_core::Identity;

use super::together;
use crate::rule_book::{Changes, Position, QuotaChanges, RULES, RuleStore, SavedRule};
use crate::{By, Multiplier, OnFailure, PolicyName, Quota, Rule, Stage};

pub(super) const USER: PolicyName = PolicyName::from_static("user");

pub(super) fn name(name: &str) -> PolicyName {
    PolicyName::try_from(name.to_owned()).expect("a name")
}

pub(super) fn ada() -> Identity {
    Identity::new("ada")
}

pub(super) fn rule(tokens: u32) -> Rule {
    Rule::always().by(By::User).quota(Quota::per_minute(tokens))
}

pub(super) async fn changes<S: RuleStore>(store: &Arc<S>, since: Position) -> Changes {
    let changes = Arc::clone(store).changes(since).await;
    changes.expect("the store works")
}

/// All rules, with the position that an edit of them wants.
async fn rules<S: RuleStore>(store: &Arc<S>) -> (Vec<SavedRule>, Position) {
    let changes = changes(store, Position::default()).await;
    let told = changes.rules.expect("they are not known");
    let at = Position {
        epoch: changes.position.epoch,
        version: told.version,
    };
    (told.rules.expect("they can be read"), at)
}

async fn edit_at<S: RuleStore>(
    store: &Arc<S>,
    edits: Vec<(PolicyName, Option<Rule>)>,
    at: Position,
) -> Option<u64> {
    let edited = Arc::clone(store).edit(edits, at).await;
    edited.expect("the store works")
}

/// Whatever the rules were before.
pub(super) async fn edit<S: RuleStore>(store: &Arc<S>, edits: &[(&str, Option<Rule>)]) -> u64 {
    let (_, at) = rules(store).await;
    let edits = edits
        .iter()
        .map(|(called, rule)| (name(called), rule.clone()));
    let edited = edit_at(store, edits.collect(), at).await;
    edited.expect("nobody else edits")
}

pub(super) async fn assign<S: RuleStore>(
    store: &Arc<S>,
    rule: &PolicyName,
    user: &Identity,
    tokens: u32,
) -> Position {
    let quota = Quota::per_minute(tokens);
    let assigned = Arc::clone(store)
        .assign(rule.clone(), user.clone(), quota)
        .await;
    assigned.expect("the store works")
}

/// In every field, at its bounds too.
pub async fn rules_have_what_they_were_put_with<S: RuleStore>(store: Arc<S>) {
    let odd = Quota::try_new(7, Duration::from_millis(1_500), 3).expect("a quota");
    let long = Quota::try_new(1, Duration::from_secs(366 * 24 * 60 * 60), 100).expect("a quota");
    let large = Quota::try_new(u32::MAX, Duration::from_secs(86_400), u32::MAX).expect("a quota");
    let written = [
        Rule::on("POST /auth/login").by(By::Client).quota(odd),
        Rule::on("/a b/{id}/GET /{*rest}").quota(long),
        Rule::on("X-Y /")
            .by(By::Custom("custom:ü 'kind'".into()))
            .quota(large),
        Rule::on("task.*")
            .by(By::ApiKey)
            .quota(odd)
            .cost(3)
            .priority(i32::MIN),
        Rule::always()
            .by(By::Everyone)
            .quota(large)
            .cost(u32::MAX)
            .leased(u32::MAX)
            .priority(i32::MAX),
        Rule::always()
            .by(By::Connection)
            .quota(odd)
            .stage(Stage::Edge)
            .shadow(),
        Rule::always()
            .by(By::User)
            .quota(odd)
            .stage(Stage::Identified)
            .roles([("admin", 5), ("ü 5/2 \"'\\|,;:", 3)])
            .role("half", "1/2".parse::<Multiplier>().expect("a ratio"))
            .if_store_fails(OnFailure::Closed),
        Rule::always().quota(odd).if_store_fails(OnFailure::Open),
    ];
    let names = ["~", " ", "a\"b\\c", "a'b", "{a}", "A", "a", "%s;--"];
    let edits = names.iter().zip(&written);
    let edits: Vec<_> = edits
        .map(|(name, rule)| (*name, Some(rule.clone())))
        .collect();
    let version = edit(&store, &edits).await;
    let (found, at) = rules(&store).await;
    assert_eq!(at.version, version);
    let mut expected: Vec<SavedRule> = names
        .iter()
        .zip(written)
        .map(|(called, rule)| SavedRule {
            name: name(called),
            rule,
            version,
        })
        .collect();
    expected.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    assert_eq!(found, expected);
}

/// Only those that were changed get another version; a rule that is removed is gone.
pub async fn the_last_edit_of_a_rule_counts<S: RuleStore>(store: Arc<S>) {
    let first = edit(&store, &[("a", Some(rule(1))), ("b", Some(rule(1)))]).await;
    let second = edit(&store, &[("a", Some(rule(2))), ("c", None)]).await;
    assert!(0 < first && first < second);
    let versions = |found: Vec<SavedRule>| -> Vec<(String, u64)> {
        let versions = found
            .iter()
            .map(|saved| (saved.name.to_string(), saved.version));
        versions.collect()
    };
    let (found, _) = rules(&store).await;
    assert_eq!(found[0].rule, rule(2));
    assert_eq!(versions(found), [("a".into(), second), ("b".into(), first)]);
    let third = edit(&store, &[("a", None), ("c", Some(rule(3)))]).await;
    assert!(second < third);
    let (found, _) = rules(&store).await;
    assert_eq!(versions(found), [("b".into(), first), ("c".into(), third)]);
    edit(&store, &[("b", None), ("c", None)]).await;
    assert!(rules(&store).await.0.is_empty());
}

/// As many as there may be, put and removed at once.
pub async fn a_thousand_rules_are_one_edit<S: RuleStore>(store: Arc<S>) {
    let names: Vec<String> = (0..RULES).map(|number| format!("{number:04}")).collect();
    let pattern = |name: &str| Rule::on(format!("/{name}")).quota(Quota::per_minute(1));
    let put: Vec<_> = names
        .iter()
        .map(|name| (&**name, Some(pattern(name))))
        .collect();
    let version = edit(&store, &put).await;
    let (found, at) = rules(&store).await;
    assert_eq!((found.len(), at.version), (RULES, version));
    assert!(found.iter().all(|saved| saved.version == version));
    let removed: Vec<_> = names.iter().map(|name| (&**name, None)).collect();
    edit(&store, &removed).await;
    assert!(rules(&store).await.0.is_empty());
}

/// No version moves, and nobody is told.
pub async fn the_same_again_changes_nothing<S: RuleStore>(store: Arc<S>) {
    let edits = [("a", Some(rule(1).role("admin", 5))), ("b", None)];
    let version = edit(&store, &edits).await;
    let assigned = assign(&store, &USER, &ada(), 5).await;
    let before = changes(&store, Position::default()).await;
    assert_eq!(edit(&store, &edits).await, version);
    assert_eq!(edit(&store, &[]).await, version);
    assert_eq!(assign(&store, &USER, &ada(), 5).await, assigned);
    let withdrawn = Arc::clone(&store)
        .withdraw(USER, Identity::new("bob"))
        .await;
    assert_eq!(withdrawn.expect("the store works"), None);
    assert_eq!(changes(&store, Position::default()).await, before);
    let after = changes(&store, before.position).await;
    assert_eq!(
        (after.position, after.rules, after.quotas),
        (before.position, None, QuotaChanges::These(Vec::new()))
    );
}

/// Nothing of it happens.
pub async fn an_edit_of_other_rules_than_there_are_is_refused<S: RuleStore>(store: Arc<S>) {
    let (_, empty) = rules(&store).await;
    assert_eq!(empty.version, 0);
    edit(&store, &[("a", Some(rule(1)))]).await;
    let (before, at) = rules(&store).await;
    let other = Position {
        epoch: at.epoch.wrapping_add(2),
        ..at
    };
    for stale in [empty, other, Position::default()] {
        let edits = vec![(name("a"), None), (name("b"), Some(rule(2)))];
        assert_eq!(edit_at(&store, edits, stale).await, None);
    }
    assert_eq!(rules(&store).await, (before, at));
    // What is not a rule is no reason.
    assign(&store, &USER, &ada(), 5).await;
    assert!(edit_at(&store, vec![(name("a"), None)], at).await.is_some());
}

/// The others are told to look again, so that nothing is overwritten.
pub async fn of_many_who_edit_the_same_rules_one_does<S: RuleStore>(store: Arc<S>) {
    let of_each = async |who: u32| {
        let mut edited = 0;
        for round in 0..10 {
            let (found, at) = rules(&store).await;
            let edits = vec![(name(&format!("{who}.{round}")), Some(rule(round + 1)))];
            if edit_at(&store, edits, at).await.is_some() {
                edited += 1;
                let (now, _) = rules(&store).await;
                assert!(found.iter().all(|saved| now.contains(saved)));
            }
        }
        edited
    };
    let edited = together([of_each(0), of_each(1), of_each(2)]).await;
    let (found, _) = rules(&store).await;
    assert_eq!(found.len(), edited.iter().sum::<usize>());
    assert!(found.len() >= 10, "{edited:?}");
    let versions: BTreeSet<u64> = found.iter().map(|saved| saved.version).collect();
    assert_eq!(versions.len(), found.len());
}

/// All of them at once, and only those who do not know them.
pub async fn rules_are_told_whole_when_one_changes<S: RuleStore>(store: Arc<S>) {
    let mut position = changes(&store, Position::default()).await.position;
    assert_ne!(position.epoch, 0);
    for round in 1..=5 {
        let version = edit(
            &store,
            &[("a", Some(rule(round))), ("b", Some(rule(round)))],
        )
        .await;
        let told = changes(&store, position).await;
        let found = told.rules.expect("they have changed");
        assert_eq!(found.version, version);
        let found = found.rules.expect("they can be read");
        assert!(found.len() == 2 && found.iter().all(|saved| saved.rule == rule(round)));
        assert_eq!(changes(&store, told.position).await.rules, None);
        position = told.position;
    }
}

/// It is told all rules, and that any quota may have changed.
pub async fn a_position_of_another_life_knows_nothing<S: RuleStore>(store: Arc<S>) {
    edit(&store, &[("a", Some(rule(1)))]).await;
    let position = assign(&store, &USER, &ada(), 1).await;
    let other = Position {
        epoch: position.epoch.wrapping_add(2),
        version: 1,
    };
    // A replica that has become the primary before it had heard of everything.
    let ahead = Position {
        version: position.version + 1_000,
        ..position
    };
    for since in [Position::default(), other, ahead] {
        let told = changes(&store, since).await;
        assert_eq!(told.position, position);
        assert_eq!(told.quotas, QuotaChanges::Any);
        assert_eq!(
            told.rules.map(|told| told.rules.map(|rules| rules.len())),
            Some(Ok(1))
        );
    }
}
