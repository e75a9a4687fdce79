//! What every [`RuleStore`] promises of quotas of users.

use std::sync::Arc;
use std::time::Duration;

use pm_core::Identity;

use super::rules::{USER, ada, assign, changes, edit, name, rule};
use crate::rule_book::{Assigned, PAGE, Position, QuotaChange, QuotaChanges, RuleStore};
use crate::{PolicyName, Quota};

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
