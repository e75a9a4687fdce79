//! What every [`RuleStore`] promises.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use pm_core::Identity;

use super::together;
use crate::rule_book::{
    Assigned, Changes, PAGE, Position, QuotaChange, QuotaChanges, RuleStore, SavedRule,
};
use crate::{By, Multiplier, OnFailure, PolicyName, Quota, Rule, Stage};

const USER: PolicyName = PolicyName::from_static("user");

fn name(name: &str) -> PolicyName {
    PolicyName::try_from(name.to_owned()).expect("a name")
}

fn ada() -> Identity {
    Identity::new("ada")
}

fn rule(tokens: u32) -> Rule {
    Rule::always().by(By::User).quota(Quota::per_minute(tokens))
}

async fn changes<S: RuleStore>(store: &Arc<S>, since: Position) -> Changes {
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
async fn edit<S: RuleStore>(store: &Arc<S>, edits: &[(&str, Option<Rule>)]) -> u64 {
    let (_, at) = rules(store).await;
    let edits = edits
        .iter()
        .map(|(called, rule)| (name(called), rule.clone()));
    let edited = edit_at(store, edits.collect(), at).await;
    edited.expect("nobody else edits")
}

async fn assign<S: RuleStore>(
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

async fn withdraw<S: RuleStore>(store: &Arc<S>, user: &Identity) -> Option<Position> {
    let withdrawn = Arc::clone(store).withdraw(USER, user.clone()).await;
    withdrawn.expect("the store works")
}

async fn quota<S: RuleStore>(
    store: &Arc<S>,
    rule: &PolicyName,
    user: &Identity,
) -> (Option<Quota>, Position) {
    let told = Arc::clone(store).quota(rule.clone(), user.clone()).await;
    let told = told.expect("the store works");
    (told.quota, told.position)
}

/// What is told from this position on, and whether any quota may have changed.
async fn told<S: RuleStore>(store: &Arc<S>, position: &mut Position) -> (Vec<QuotaChange>, bool) {
    let mut all = Vec::new();
    loop {
        let changes = changes(store, *position).await;
        *position = changes.position;
        match changes.quotas {
            QuotaChanges::Any => return (all, true),
            QuotaChanges::These(these) => {
                assert!(these.len() <= PAGE);
                let more = these.len() == PAGE;
                all.extend(these);
                if !more {
                    return (all, false);
                }
            }
        }
    }
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

/// No version moves, and nobody is told.
pub async fn the_same_again_changes_nothing<S: RuleStore>(store: Arc<S>) {
    let edits = [("a", Some(rule(1).role("admin", 5))), ("b", None)];
    let version = edit(&store, &edits).await;
    let assigned = assign(&store, &USER, &ada(), 5).await;
    let before = changes(&store, Position::default()).await;
    assert_eq!(edit(&store, &edits).await, version);
    assert_eq!(edit(&store, &[]).await, version);
    assert_eq!(assign(&store, &USER, &ada(), 5).await, assigned);
    assert_eq!(withdraw(&store, &Identity::new("bob")).await, None);
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

/// Users of other tenants, and other rules, have nothing of it.
pub async fn a_quota_is_of_one_user_by_one_rule<S: RuleStore>(store: Arc<S>) {
    let users = [
        ada(),
        ada().with_tenant("acme"),
        ada().with_tenant("globex"),
        Identity::new("ad"),
        Identity::new("a").with_tenant("da"),
        Identity::new("ü 'x';--\"\\ %s|,:{}\u{10ffff}").with_tenant("ß"),
        Identity::new("x".repeat(255)).with_tenant("y".repeat(255)),
    ];
    for (tokens, user) in (1..).zip(&users) {
        assign(&store, &USER, user, tokens).await;
        assign(&store, &name("User"), user, tokens + 100).await;
    }
    for (tokens, user) in (1..).zip(&users) {
        let of = |tokens| Some(Quota::per_minute(tokens));
        assert_eq!(quota(&store, &USER, user).await.0, of(tokens));
        assert_eq!(quota(&store, &name("User"), user).await.0, of(tokens + 100));
        assert_eq!(quota(&store, &name("use"), user).await.0, None);
    }
    assert!(withdraw(&store, &users[0]).await.is_some());
    assert_eq!(quota(&store, &USER, &users[0]).await.0, None);
    assert!(quota(&store, &USER, &users[1]).await.0.is_some());
    assert!(quota(&store, &name("User"), &users[0]).await.0.is_some());
}

/// To the token and to the millisecond.
pub async fn quotas_are_exact<S: RuleStore>(store: Arc<S>) {
    let day = Duration::from_secs(86_400);
    for (tokens, period, burst) in [
        (1, Duration::from_millis(1), 1),
        (999, Duration::from_millis(999), u32::MAX),
        (7, Duration::from_millis(1_001), 3),
        (1, 366 * day, 100),
        (u32::MAX, day, u32::MAX),
        (300, Duration::from_secs(60), 50),
        (13, 365 * day + Duration::from_millis(7), 12),
    ] {
        let written = Quota::try_new(tokens, period, burst).expect("a quota");
        let assigned = Arc::clone(&store).assign(USER, ada(), written).await;
        assigned.expect("the store works");
        assert_eq!(quota(&store, &USER, &ada()).await.0, Some(written));
    }
}

/// Each as it is by now, those that were withdrawn too, in the order of the changes.
pub async fn every_change_of_a_quota_is_told_once<S: RuleStore>(store: Arc<S>) {
    let mut position = changes(&store, Position::default()).await.position;
    let bob = Identity::new("bob").with_tenant("acme");
    let first = assign(&store, &USER, &ada(), 1).await;
    assert_eq!(first.epoch, position.epoch);
    let second = assign(&store, &USER, &bob, 2).await;
    let third = assign(&store, &USER, &ada(), 3).await;
    assert!(first.version < second.version && second.version < third.version);
    let change = |user: &Identity, quota, position: Position| QuotaChange {
        user: user.clone(),
        rule: USER,
        quota,
        version: position.version,
    };
    let of = |tokens| Some(Quota::per_minute(tokens));
    assert_eq!(
        told(&store, &mut position).await,
        (
            vec![change(&bob, of(2), second), change(&ada(), of(3), third)],
            false
        )
    );
    let fourth = withdraw(&store, &ada()).await.expect("there was one");
    assert_eq!(withdraw(&store, &ada()).await, None);
    assert_eq!(
        told(&store, &mut position).await,
        (vec![change(&ada(), None, fourth)], false)
    );
    assert_eq!(told(&store, &mut position).await, (Vec::new(), false));
    let fifth = assign(&store, &USER, &ada(), 3).await;
    assert!(third.version < fourth.version && fourth.version < fifth.version);
    assert_eq!(
        told(&store, &mut position).await,
        (vec![change(&ada(), of(3), fifth)], false)
    );
    assert_eq!(position, fifth);
}

/// Nothing that is changed later has a version up to the position of the answer.
pub async fn a_quota_is_told_with_the_position_of_the_store<S: RuleStore>(store: Arc<S>) {
    let start = changes(&store, Position::default()).await.position;
    assert_eq!(quota(&store, &USER, &ada()).await, (None, start));
    let assigned = assign(&store, &USER, &ada(), 1).await;
    assert_eq!(
        quota(&store, &USER, &ada()).await,
        (Some(Quota::per_minute(1)), assigned)
    );
    edit(&store, &[("a", Some(rule(1)))]).await;
    let (_, position) = quota(&store, &USER, &ada()).await;
    assert!(position.version > assigned.version);
    let withdrawn = withdraw(&store, &ada()).await.expect("there was one");
    assert!(withdrawn.version > position.version);
    assert_eq!(quota(&store, &USER, &ada()).await, (None, withdrawn));
}

/// In the order of the bytes of tenant, user and rule, none twice, none missing.
pub async fn quotas_come_in_pages<S: RuleStore>(store: Arc<S>) {
    let users = [
        Identity::new("Z"),
        Identity::new("a"),
        Identity::new("a b"),
        Identity::new("ab"),
        Identity::new("ü"),
        Identity::new("a").with_tenant("B"),
        Identity::new("a").with_tenant("a"),
    ];
    let names = ["B", "a", "a b"].map(name);
    let mut expected = Vec::new();
    for user in &users {
        for rule in &names {
            expected.push((user.clone(), rule.clone()));
        }
    }
    for (user, rule) in expected.iter().rev() {
        assign(&store, rule, user, 5).await;
    }
    let gone = Identity::new("aa");
    assign(&store, &USER, &gone, 5).await;
    assert!(withdraw(&store, &gone).await.is_some());

    let page = async |of: Option<&Identity>, after, limit| {
        let page = Arc::clone(&store).quotas(of.cloned(), after, limit).await;
        page.expect("the store works")
    };
    let places = |page: &[Assigned]| -> Vec<(Identity, PolicyName)> {
        let places = page.iter().map(|row| (row.user.clone(), row.rule.clone()));
        places.collect()
    };
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = page(None, after, 4).await;
        assert!(
            page.iter()
                .all(|row| row.quota == Quota::per_minute(5) && row.version > 0)
        );
        seen.extend(places(&page));
        if page.len() < 4 {
            break;
        }
        after = seen.last().cloned();
    }
    assert_eq!(seen, expected);
    for (user, expected) in users.iter().zip(expected.chunks(names.len())) {
        assert_eq!(places(&page(Some(user), None, 9).await), expected);
        let after = Some(expected[0].clone());
        assert_eq!(places(&page(Some(user), after, 1).await), expected[1..2]);
    }
    assert!(page(Some(&gone), None, 9).await.is_empty());
    assert!(page(None, seen.last().cloned(), 9).await.is_empty());
}

/// Or is told that any may have changed; there is no third.
pub async fn whoever_is_far_behind_misses_nothing<S: RuleStore>(store: Arc<S>) {
    let start = changes(&store, Position::default()).await.position;
    let user = |number: usize| Identity::new(format!("user {number}"));
    for number in 0..2_200 {
        assign(&store, &USER, &user(number), 5).await;
    }
    let (changed, any) = told(&store, &mut start.clone()).await;
    assert!(any || changed.len() == 2_200);
    let versions: Vec<u64> = changed.iter().map(|change| change.version).collect();
    assert!(versions.is_sorted());

    let mut late = changes(&store, Position::default()).await.position;
    for number in 0..1_200 {
        withdraw(&store, &user(number)).await;
    }
    let mut recent = late;
    let (changed, any) = told(&store, &mut late).await;
    assert!(any || changed.len() == 1_200);
    recent.version = late.version;
    withdraw(&store, &user(1_200)).await;
    let (changed, any) = told(&store, &mut recent).await;
    assert_eq!((changed.len(), any), (1, false));
    let left = Arc::clone(&store).quotas(None, None, usize::MAX).await;
    assert_eq!(left.expect("the store works").len(), 999);
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
