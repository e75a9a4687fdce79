//! What is kept over a restart, of this program and of its database, and what happens in between.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use pm_core::{Clock, Identity};
use pm_ratelimit::block::{BlockList, BlockStore, Order};
use pm_ratelimit::guard::{PostgresStore, SqliteStore};
use pm_ratelimit::rule_book::{Edit, EditError, RuleBook};
use pm_ratelimit::{By, Error, Limiter, Op, Quota, Rule, RuleStore, Rules, Subject, Verdict};
use pm_testing::PostgresServer;
use proptest::prelude::*;
use tempfile::TempDir;

const SECOND: Duration = Duration::from_secs(1);

fn book(store: Arc<dyn RuleStore>) -> RuleBook {
    let rule = Rule::always().by(By::User).quota(Quota::per_day(10));
    let limiter = Limiter::builder(Rules::new().rule("user", rule));
    RuleBook::builder(limiter).store(store).build().unwrap()
}

/// How much the user may do at once.
async fn burst(book: &RuleBook, user: &Identity) -> u32 {
    match book
        .limiter()
        .check(&Subject::identity(user), Op::from(0))
        .await
    {
        Verdict::Allowed(allowed) => allowed.remaining(),
        other => panic!("{other:?}"),
    }
}

fn some_quota() -> impl Strategy<Value = Quota> {
    let quota = (1u32..=1_000, 1_000u64..31_622_400_000, 1u32..=1_000_000);
    quota.prop_filter_map("a quota", |(tokens, millis, burst)| {
        Quota::try_new(tokens, Duration::from_millis(millis), burst).ok()
    })
}

fn some_user() -> impl Strategy<Value = Identity> {
    let id = || "[a-c'\"\\\\ü%_ ]{1,3}";
    (id(), proptest::option::of(id())).prop_map(|(name, tenant)| match tenant {
        Some(tenant) => Identity::new(name).with_tenant(tenant),
        None => Identity::new(name),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What is written for a user is what is read, after a restart too, and what they are held to.
    #[test]
    fn p000_1_user_config_persistence(
        steps in proptest::collection::vec((some_user(), proptest::option::weighted(0.8, some_quota())), 1..12),
        rule_quota in some_quota(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = TempDir::new().unwrap();
            let path = folder.path().join("guard.db");
            let open = async || book(Arc::new(SqliteStore::open(&path).await.unwrap()));
            let before = open().await;
            let rule = Rule::always().by(By::User).quota(rule_quota).role("admin", 1);
            before.edit([Edit::put("user", rule)]).await.unwrap();
            let mut model = std::collections::BTreeMap::new();
            for (user, quota) in steps {
                let key = (user.tenant().map(str::to_owned), user.subject().to_owned());
                match quota {
                    Some(quota) => {
                        before.assign("user", &user, quota).await.unwrap();
                    }
                    None => {
                        before.withdraw("user", &user).await.unwrap();
                    }
                }
                model.insert(key, (user, quota));
            }
            let rules = before.list(None, 10);
            drop(before);

            let after = open().await;
            after.synchronize().await.unwrap();
            assert_eq!(after.list(None, 10), rules);
            for (user, quota) in model.values() {
                assert_eq!(after.quota("user", user).await.unwrap(), *quota);
                assert_eq!(burst(&after, user).await, quota.unwrap_or(rule_quota).capacity());
            }
            let assigned = after.quotas(None, None, 100).await.unwrap();
            let expected = model.values().filter_map(|(user, quota)| Some((user, (*quota)?)));
            let found = assigned.iter().map(|assigned| (&assigned.user, assigned.quota));
            assert!(found.eq(expected), "{assigned:?}");
        });
    }
}

/// How long the call takes.
async fn timed<T>(call: impl Future<Output = T>) -> (T, Duration) {
    let clock = Clock::system();
    let before = clock.now();
    let output = call.await;
    (output, clock.now().saturating_duration_since(before))
}

/// Within so many seconds.
async fn until(what: &str, seconds: u32, mut holds: impl AsyncFnMut() -> bool) {
    let clock = Clock::system();
    let deadline = clock.now() + seconds * SECOND;
    while !holds().await {
        assert!(clock.now() < deadline, "{what} within {seconds} s");
        clock
            .sleep_until(clock.now() + Duration::from_millis(20))
            .await;
    }
}

#[tokio::test]
async fn a_postgres_that_is_killed_and_restarted_loses_nothing_and_keeps_nobody_waiting() {
    let mut server = PostgresServer::start();
    let connect = async || Arc::new(PostgresStore::connect(&server.url()).await.unwrap());
    let (store, others) = (connect().await, connect().await);
    let (book, other) = (book(store.clone()), self::book(others.clone()));
    let blocks = BlockList::builder().store(store.clone()).build();
    let other_blocks = BlockList::builder().store(others).build();
    let running = [
        tokio::spawn(book.clone().run()),
        tokio::spawn(other.clone().run()),
        tokio::spawn(blocks.clone().run()),
        tokio::spawn(other_blocks.clone().run()),
    ];
    let (ada, bob) = (
        Identity::new("ada"),
        Identity::new("bob").with_tenant("acme"),
    );
    let by_user = |tokens| Rule::always().by(By::User).quota(Quota::per_day(tokens));
    let blocked: IpAddr = [192, 0, 2, 1].into();
    book.edit([Edit::put("user", by_user(20))]).await.unwrap();
    book.assign("user", &ada, Quota::per_day(33)).await.unwrap();
    book.assign("user", &bob, Quota::per_day(44)).await.unwrap();
    blocks
        .block(Order::on(blocked.into()).by("ada"))
        .await
        .unwrap();
    until("the other hears of it", 5, async || {
        let knows_rules = other.version() == book.version();
        knows_rules && burst(&other, &ada).await == 33 && other_blocks.check(blocked).is_some()
    })
    .await;

    server.kill();
    // What is known goes on counting, and nobody waits longer than the deadline of a store.
    let (edited, took) = timed(book.edit([Edit::put("user", by_user(1))])).await;
    assert!(matches!(edited, Err(EditError::Store(_))), "{edited:?}");
    assert!(took < 2 * SECOND, "{took:?}");
    let (refused, took) = timed(blocks.block(Order::on("192.0.2.2/32".parse().unwrap()))).await;
    assert!(matches!(
        refused,
        Err(Error::TimedOut | Error::Unavailable(_))
    ));
    assert!(took < 2 * SECOND, "{took:?}");
    until("it is noticed", 5, async || {
        other.stats().store_failures > 0 && other_blocks.stats().store_failures > 0
    })
    .await;
    for number in 0..50 {
        let stranger = Identity::new(format!("stranger {number}"));
        let (burst, took) = timed(burst(&other, &stranger)).await;
        assert_eq!(burst, 20);
        assert!(took < 2 * SECOND, "{took:?}");
    }
    assert_eq!(
        (burst(&book, &ada).await, burst(&other, &ada).await),
        (33, 33)
    );
    assert!(blocks.check(blocked).is_some() && other_blocks.check(blocked).is_some());

    server.restart();
    let clock = Clock::system();
    let restarted = clock.now();
    until("they are back", 10, async || {
        let behind = [
            book.behind(),
            other.behind(),
            blocks.behind(),
            other_blocks.behind(),
        ];
        let since = clock.now().saturating_duration_since(restarted);
        behind.into_iter().flatten().all(|behind| behind < since)
    })
    .await;
    // Connections that are left from before are noticed, and do not fail a call each.
    clock.sleep_until(clock.now() + SECOND).await;
    let quota = other.quota("user", &bob).await.unwrap();
    assert_eq!(quota, Some(Quota::per_day(44)));
    book.edit([Edit::put("user", by_user(25))]).await.unwrap();
    blocks.unblock(blocked.into(), "ada").await.unwrap();
    until("the other hears of that", 5, async || {
        burst(&other, &Identity::new("carl")).await == 25 && other_blocks.check(blocked).is_none()
    })
    .await;
    for task in running {
        task.abort();
    }
}

/// Another program holds the lock of those who write, and does not let go of it.
#[tokio::test]
async fn a_postgres_that_does_not_get_on_keeps_nobody_waiting() {
    let server = PostgresServer::start();
    let store = Arc::new(PostgresStore::connect(&server.url()).await.unwrap());
    let book = book(store.clone());
    let other = sqlx::PgPool::connect(&server.url()).await.unwrap();
    let mut held = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE pm_guard_state IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *held)
        .await
        .unwrap();
    for _ in 0..6 {
        let edit = Edit::put("a", Rule::always().quota(Quota::per_day(1)));
        let (edited, took) = timed(book.edit([edit])).await;
        assert!(
            matches!(edited, Err(EditError::Store(Error::TimedOut))),
            "{edited:?}"
        );
        assert!(took < 3 * SECOND, "{took:?}");
    }
    let position = pm_ratelimit::rule_book::Position::default();
    let (told, took) = timed(BlockStore::changes(store, position, 0)).await;
    assert!(matches!(told, Err(Error::TimedOut)) && took < 2 * SECOND);
    held.rollback().await.unwrap();
    until("it works again", 10, async || {
        let edit = Edit::put("b", Rule::always().quota(Quota::per_day(1)));
        book.edit([edit]).await.is_ok()
    })
    .await;
    assert!(book.get("b").is_some());
}
