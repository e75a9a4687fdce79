//! Every store of violations, blocks and rules keeps the whole contract.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

#[cfg(any(feature = "postgres", feature = "redis"))]
mod kept {
    use std::fmt;
    use std::sync::{Arc, Mutex, PoisonError, Weak};

    use async_trait::async_trait;
    use pm_core::{Cidr, Identity};
    use pm_ratelimit::block::{Changes, Entry, Position};
    use pm_ratelimit::emergency::Word;
    use pm_ratelimit::rule_book::{self, Assigned, Told};
    use pm_ratelimit::violations::Threshold;
    use pm_ratelimit::{
        BlockStore, EmergencyStore, Error, PolicyName, Quota, Rule, RuleStore, Violation,
        ViolationStore,
    };

    /// A store with the server that it is on, which ends with the last of those that use it.
    #[derive(Debug)]
    pub struct Kept<S, V> {
        store: Arc<S>,
        _server: Arc<V>,
    }

    impl<S, V> Kept<S, V> {
        pub fn new(store: Arc<S>, server: Arc<V>) -> Arc<Self> {
            let _server = server;
            Arc::new(Self { store, _server })
        }
    }

    /// One server for all tests that run at the same time.
    pub fn server<V>(running: &Mutex<Weak<V>>, start: fn() -> V) -> Arc<V> {
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let server = Arc::new(start());
            *running = Arc::downgrade(&server);
            server
        })
    }

    #[async_trait]
    impl<S: EmergencyStore, V: fmt::Debug + Send + Sync + 'static> EmergencyStore for Kept<S, V> {
        async fn exchange(self: Arc<Self>, known: Option<Word>) -> Result<Option<Word>, Error> {
            Arc::clone(&self.store).exchange(known).await
        }
    }

    #[async_trait]
    impl<S: ViolationStore, V: fmt::Debug + Send + Sync + 'static> ViolationStore for Kept<S, V> {
        async fn record(
            self: Arc<Self>,
            rows: Vec<Violation>,
            alert: Threshold,
            now: i64,
        ) -> Result<Vec<Cidr>, Error> {
            Arc::clone(&self.store).record(rows, alert, now).await
        }

        async fn recent(
            self: Arc<Self>,
            prefix: Cidr,
            limit: usize,
            now: i64,
        ) -> Result<Vec<Violation>, Error> {
            Arc::clone(&self.store).recent(prefix, limit, now).await
        }
    }

    #[async_trait]
    impl<S: BlockStore, V: fmt::Debug + Send + Sync + 'static> BlockStore for Kept<S, V> {
        async fn impose(
            self: Arc<Self>,
            entries: Vec<Entry>,
            now: i64,
        ) -> Result<Vec<Entry>, Error> {
            Arc::clone(&self.store).impose(entries, now).await
        }

        async fn changes(self: Arc<Self>, since: Position, now: i64) -> Result<Changes, Error> {
            Arc::clone(&self.store).changes(since, now).await
        }
    }

    #[async_trait]
    impl<S: RuleStore, V: fmt::Debug + Send + Sync + 'static> RuleStore for Kept<S, V> {
        async fn edit(
            self: Arc<Self>,
            edits: Vec<(PolicyName, Option<Rule>)>,
            at: Position,
        ) -> Result<Option<u64>, Error> {
            Arc::clone(&self.store).edit(edits, at).await
        }

        async fn assign(
            self: Arc<Self>,
            rule: PolicyName,
            user: Identity,
            quota: Quota,
        ) -> Result<Position, Error> {
            Arc::clone(&self.store).assign(rule, user, quota).await
        }

        async fn withdraw(
            self: Arc<Self>,
            rule: PolicyName,
            user: Identity,
        ) -> Result<Option<Position>, Error> {
            Arc::clone(&self.store).withdraw(rule, user).await
        }

        async fn quota(self: Arc<Self>, rule: PolicyName, user: Identity) -> Result<Told, Error> {
            Arc::clone(&self.store).quota(rule, user).await
        }

        async fn quotas(
            self: Arc<Self>,
            of: Option<Identity>,
            after: Option<(Identity, PolicyName)>,
            limit: usize,
        ) -> Result<Vec<Assigned>, Error> {
            Arc::clone(&self.store).quotas(of, after, limit).await
        }

        async fn changes(self: Arc<Self>, since: Position) -> Result<rule_book::Changes, Error> {
            Arc::clone(&self.store).changes(since).await
        }
    }
}

mod memory {
    use std::sync::Arc;

    use pm_ratelimit::guard::MemoryStore;

    pm_ratelimit::guard_conformance!(Arc::new(MemoryStore::new()));
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::sync::Arc;

    use pm_core::Identity;
    use pm_ratelimit::guard::SqliteStore;
    use pm_ratelimit::rule_book::{Edit, EditError, RuleBook};
    use pm_ratelimit::{
        By, Error, Limiter, Quota, Rule, Rules, Subject, Verdict, Violation, ViolationStore,
    };
    use tempfile::TempDir;

    async fn fresh() -> Arc<SqliteStore> {
        // The file goes on being there for the store that has it open.
        let folder = TempDir::new().unwrap();
        Arc::new(
            SqliteStore::open(folder.path().join("guard.db"))
                .await
                .unwrap(),
        )
    }

    pm_ratelimit::guard_conformance!(fresh().await);

    #[tokio::test]
    async fn what_is_written_is_there_after_a_restart_and_for_another_process() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("guard.db");
        let one = Arc::new(SqliteStore::open(&path).await.unwrap());
        let row = Violation::new(std::net::IpAddr::from([192, 0, 2, 1]), 1_000, "GET /");
        let alert = pm_ratelimit::violations::Threshold::more_than(0, std::time::Duration::MAX);
        Arc::clone(&one)
            .record(vec![row.clone()], alert, 1_000)
            .await
            .unwrap();
        for store in [Arc::new(SqliteStore::open(&path).await.unwrap()), one] {
            let found = store.recent(row.prefix(), 9, 1_000).await.unwrap();
            assert_eq!(found, std::slice::from_ref(&row));
        }
    }

    /// As a newer version of this crate may: this one goes by the rules before, hears of quotas, and
    /// writes nothing over what it cannot read.
    #[tokio::test]
    async fn a_rule_that_cannot_be_read_is_refused_with_all_others() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("guard.db");
        let open = async || Arc::new(SqliteStore::open(&path).await.unwrap());
        let book = |store| {
            let limiter = pm_ratelimit::Limiter::builder(Rules::new());
            RuleBook::builder(limiter).store(store).build().unwrap()
        };
        let (one, two) = (book(open().await), book(open().await));
        let rule = |tokens| Rule::always().by(By::User).quota(Quota::per_day(tokens));
        let edits = [Edit::put("a", rule(1)), Edit::put("b", rule(1))];
        one.edit(edits).await.unwrap();
        two.synchronize().await.unwrap();
        let in_force = two.limiter().rules();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let file = sqlx::SqlitePool::connect_with(options).await.unwrap();
        for statement in [
            "UPDATE pm_guard_rule SET bucket_capacity = 7",
            "UPDATE pm_guard_rule SET subject = 'planet' WHERE name = 'b'",
            "UPDATE pm_guard_state SET rules_version = 9, rules_changed = 9",
        ] {
            sqlx::query(statement).execute(&file).await.unwrap();
        }
        let ada = pm_core::Identity::new("ada");
        one.assign("a", &ada, Quota::per_day(33)).await.unwrap();
        two.synchronize().await.unwrap();
        assert_eq!(two.limiter().rules(), in_force);
        let refused = two.refused().unwrap();
        assert_eq!((refused.rule(), refused.field()), ("b", "by"));
        let edited = two.edit([Edit::remove("b")]).await;
        assert!(matches!(edited, Err(EditError::Invalid(invalid)) if invalid == refused));
        assert_eq!(
            two.quota("a", &ada).await.unwrap(),
            Some(Quota::per_day(33))
        );
        sqlx::query("UPDATE pm_guard_rule SET subject = 'user'")
            .execute(&file)
            .await
            .unwrap();
        sqlx::query("UPDATE pm_guard_state SET rules_version = 11, rules_changed = 11")
            .execute(&file)
            .await
            .unwrap();
        two.synchronize().await.unwrap();
        assert_eq!(two.refused(), None);
        let mended = Rules::new()
            .rule("a", rule(1).quota(Quota::per_day(1).burst(7)))
            .rule("b", rule(1).quota(Quota::per_day(1).burst(7)));
        assert_eq!(two.limiter().rules(), mended);
    }

    #[tokio::test]
    async fn a_quota_that_cannot_be_read_keeps_nobody_from_the_others() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("guard.db");
        let open = async || Arc::new(SqliteStore::open(&path).await.unwrap());
        let rule = Rule::always().by(By::User).quota(Quota::per_day(1));
        let book = |store| {
            let limiter = Limiter::builder(Rules::new().rule("a", rule.clone()));
            RuleBook::builder(limiter).store(store).build().unwrap()
        };
        let (one, two) = (book(open().await), book(open().await));
        let ([ada, bob], third) = (["ada", "bob"].map(Identity::new), Quota::per_day(3));
        one.edit([Edit::put("b", rule.clone())]).await.unwrap();
        two.synchronize().await.unwrap();
        for user in [&ada, &bob] {
            one.assign("a", user, third).await.unwrap();
        }
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let file = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::query("UPDATE pm_guard_user_quota SET refill_rate = 0 WHERE user_id = 'bob'")
            .execute(&file)
            .await
            .unwrap();
        one.edit([Edit::remove("b")]).await.unwrap();
        two.synchronize().await.unwrap();
        assert!(two.get("b").is_none(), "the change was heard of");

        // Nobody else is refused a look-up for it.
        assert!(two.quota("a", &bob).await.is_err());
        let left = async |user: &Identity| {
            let verdict = two.limiter().check(&Subject::identity(user), 0).await;
            match verdict {
                Verdict::Allowed(allowed) => allowed.remaining(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((left(&bob).await, left(&ada).await), (1, 3));
        one.assign("a", &bob, third).await.unwrap();
        two.synchronize().await.unwrap();
        assert_eq!(left(&bob).await, 3, "it was put right");
    }

    #[tokio::test]
    async fn a_file_with_tables_of_another_version_is_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("guard.db");
        SqliteStore::open(&path).await.unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let file = sqlx::SqlitePool::connect_with(options).await.unwrap();
        sqlx::query("UPDATE pm_guard_state SET schema = 1")
            .execute(&file)
            .await
            .unwrap();
        let Err(Error::Unavailable(source)) = SqliteStore::open(&path).await else {
            panic!("it was opened");
        };
        assert!(
            source.to_string().contains("have schema 1, not 3"),
            "{source}"
        );
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_refused() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("guard.db");
        std::fs::write(
            &path,
            "this is not a database, and long enough to be read as one",
        )
        .unwrap();
        assert!(matches!(
            SqliteStore::open(&path).await,
            Err(Error::Unavailable(_))
        ));
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, Weak};
    use std::time::Duration;

    use pm_core::Clock;
    use pm_ratelimit::guard::PostgresStore;
    use pm_ratelimit::{BlockStore, Error, RuleStore};
    use pm_testing::PostgresServer;

    use super::kept::{Kept, server};

    /// Each has a schema of its own.
    static SERVER: Mutex<Weak<PostgresServer>> = Mutex::new(Weak::new());
    static SCHEMAS: AtomicUsize = AtomicUsize::new(0);

    async fn fresh() -> Arc<Kept<PostgresStore, PostgresServer>> {
        let server = server(&SERVER, PostgresServer::start);
        let schema = format!("s{}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
        let store = Arc::new(
            PostgresStore::connect(&url(&server, &schema).await)
                .await
                .unwrap(),
        );
        Kept::new(store, server)
    }

    /// The address of a schema that is new.
    async fn url(server: &PostgresServer, schema: &str) -> String {
        let plain = sqlx::PgPool::connect(&server.url()).await.unwrap();
        let create = format!("CREATE SCHEMA {schema}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(create))
            .execute(&plain)
            .await
            .unwrap();
        plain.close().await;
        format!("{}?options=-csearch_path%3D{schema}", server.url())
    }

    pm_ratelimit::guard_conformance!(fresh().await);

    #[tokio::test]
    async fn many_who_connect_at_once_make_the_tables_once() {
        let server = server(&SERVER, PostgresServer::start);
        let url = url(&server, "together").await;
        let connect = || PostgresStore::connect(&url);
        let (one, two, three) = tokio::join!(connect(), connect(), connect());
        assert!(
            one.is_ok() && two.is_ok() && three.is_ok(),
            "{one:?} {two:?} {three:?}"
        );
    }

    /// Within a second.
    async fn is_soon_zero(pool: &sqlx::PgPool, count: &'static str) -> bool {
        let clock = Clock::system();
        let end = clock.now() + Duration::from_secs(1);
        loop {
            let counted: i64 = sqlx::query_scalar(count).fetch_one(pool).await.unwrap();
            if counted == 0 || clock.now() >= end {
                return counted == 0;
            }
            clock
                .sleep_until(clock.now() + Duration::from_millis(20))
                .await;
        }
    }

    /// Whatever it is that each of them was given up at: while it began, waited, read or committed.
    #[tokio::test]
    async fn calls_that_are_given_up_leave_no_transaction_open() {
        let server = PostgresServer::start();
        let store = Arc::new(PostgresStore::connect(&server.url()).await.unwrap());
        let since = pm_ratelimit::rule_book::Position::default();
        let blocks = || BlockStore::impose(Arc::clone(&store), Vec::new(), 0);
        let rules = || RuleStore::changes(Arc::clone(&store), since);
        let clock = Clock::system();
        for micros in (0..4_000).step_by(50) {
            let soon = clock.now() + Duration::from_micros(micros);
            tokio::select! {
                _ = async { tokio::join!(blocks(), rules()) } => {}
                () = clock.sleep_until(soon) => {}
            }
        }
        let plain = sqlx::PgPool::connect(&server.url()).await.unwrap();
        let open = "SELECT count(*) FROM pg_stat_activity \
                    WHERE state LIKE 'idle in transaction%'";
        assert!(is_soon_zero(&plain, open).await);
        for _ in 0..8 {
            let (blocks, rules) = tokio::join!(blocks(), rules());
            assert!(blocks.is_ok() && rules.is_ok(), "{blocks:?} {rules:?}");
        }
    }

    #[tokio::test]
    async fn whoever_holds_the_lock_is_not_waited_for_by_the_server_either() {
        let server = PostgresServer::start();
        let store = Arc::new(PostgresStore::connect(&server.url()).await.unwrap());
        let plain = sqlx::PgPool::connect(&server.url()).await.unwrap();
        let mut holder = plain.begin().await.unwrap();
        sqlx::query("SELECT pg_advisory_xact_lock(x'706d5f6775617264'::bigint)")
            .execute(&mut *holder)
            .await
            .unwrap();
        let impose = || BlockStore::impose(Arc::clone(&store), Vec::new(), 0);
        assert!(matches!(impose().await, Err(Error::TimedOut)));
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        assert!(is_soon_zero(&plain, waiting).await);
        holder.rollback().await.unwrap();
        impose().await.unwrap();
    }
}

#[cfg(feature = "redis")]
mod redis {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, Weak};
    use std::time::Duration;

    use pm_core::redis::{Endpoint, Options, Redis};
    use pm_ratelimit::block::{BlockList, Order};
    use pm_ratelimit::guard::RedisStore;
    use pm_ratelimit::rule_book::{Edit, RuleBook};
    use pm_ratelimit::{By, Error, Quota, Rule, RuleStore, ViolationStore, violations};
    use pm_testing::{RedisCluster, RedisServer};

    use super::kept::{Kept, server};

    /// Each has keys of its own.
    static SERVER: Mutex<Weak<RedisServer>> = Mutex::new(Weak::new());
    static NAMES: AtomicUsize = AtomicUsize::new(0);

    async fn connect(server: &RedisServer) -> Redis {
        let endpoint = Endpoint::single(&server.url()).unwrap();
        Redis::connect(endpoint, Options::new()).await.unwrap()
    }

    fn store(redis: Redis) -> Arc<RedisStore> {
        let name = format!("guard{}", NAMES.fetch_add(1, Ordering::Relaxed));
        // One that a machine that is busy with other tests does not miss.
        Arc::new(
            RedisStore::new(redis)
                .with_name(&name)
                .with_deadline(Duration::from_secs(20)),
        )
    }

    async fn fresh() -> Arc<Kept<RedisStore, RedisServer>> {
        let server = server(&SERVER, RedisServer::start);
        let store = store(connect(&server).await);
        Kept::new(store, server)
    }

    pm_ratelimit::guard_conformance!(fresh().await);

    #[tokio::test]
    async fn a_flush_is_one_round_trip() {
        let server = RedisServer::start();
        let store = store(connect(&server).await);
        let alert = violations::Threshold::more_than(10, Duration::from_secs(300));
        let row = |number: u32| {
            let client = std::net::IpAddr::from(number.to_be_bytes());
            pm_ratelimit::Violation::new(client, 1_767_225_600_000_000, "GET /")
        };
        for _ in 0..3 {
            let rows = (0..1_000).map(row).collect();
            Arc::clone(&store)
                .record(rows, alert, 1_767_225_600_000_000)
                .await
                .unwrap();
        }
        assert_eq!((server.calls("evalsha"), server.calls("eval")), (3, 1));
    }

    #[tokio::test]
    async fn a_cluster_keeps_all_of_it_on_one_server() {
        let cluster = RedisCluster::start();
        let endpoint = Endpoint::cluster(cluster.urls()).unwrap();
        let redis = Redis::connect(endpoint, Options::new()).await.unwrap();
        let store = store(redis);
        use pm_ratelimit::guard::conformance::{blocks, quotas, rules, violations};
        violations::a_thousand_rows_are_one_step(Arc::clone(&store)).await;
        blocks::changes_come_in_pages(Arc::clone(&store)).await;
        rules::rules_have_what_they_were_put_with(Arc::clone(&store)).await;
        quotas::quotas_come_in_pages(store).await;
    }

    #[tokio::test]
    async fn a_rule_that_cannot_be_read_is_refused_with_all_others() {
        let server = RedisServer::start();
        let redis = RedisStore::new(connect(&server).await).with_name("guard");
        let limiter = pm_ratelimit::Limiter::builder(pm_ratelimit::Rules::new());
        let book = RuleBook::builder(limiter)
            .store(Arc::new(redis))
            .build()
            .unwrap();
        let rule = Rule::always().quota(Quota::per_day(1));
        book.edit([Edit::put("a", rule)]).await.unwrap();
        let written = server.ask(&["HGET", "{guard}:rules", "a"]);
        // A field more than this version knows.
        let newer = format!("{written}\u{1f}more");
        let _ = server.ask(&["HSET", "{guard}:rules", "b", &newer]);
        let version = (book.version() + 1).to_string();
        let state = "{guard}:state";
        let _ = server.ask(&[
            "HSET",
            state,
            "rules_version",
            &version,
            "rules_changed",
            &version,
        ]);
        let in_force = book.limiter().rules();
        book.synchronize().await.unwrap();
        assert_eq!(book.limiter().rules(), in_force);
        assert_eq!(book.refused().unwrap().rule(), "b");
    }

    #[tokio::test]
    async fn a_server_without_memory_still_tells_what_it_holds() {
        let server = RedisServer::start();
        let store = Arc::new(RedisStore::new(connect(&server).await));
        let limiter = pm_ratelimit::Limiter::builder(pm_ratelimit::Rules::new());
        let book = (RuleBook::builder(limiter).store(store.clone()).build()).unwrap();
        let blocks = BlockList::builder().store(store).build();
        let rule = Rule::always().quota(Quota::per_day(1));
        book.edit([Edit::put("a", rule.clone())]).await.unwrap();
        let ada = pm_core::Identity::new("ada");
        book.assign("a", &ada, Quota::per_day(2)).await.unwrap();
        let _ = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
        assert!(book.edit([Edit::remove("a")]).await.is_err());
        book.synchronize().await.unwrap();
        blocks.synchronize().await.unwrap();
        let quota = book.quota("a", &ada).await.unwrap();
        assert_eq!(quota, Some(Quota::per_day(2)));
    }

    #[tokio::test]
    async fn a_quota_that_cannot_be_read_keeps_nobody_from_the_others() {
        let server = RedisServer::start();
        let store = Arc::new(RedisStore::new(connect(&server).await).with_name("guard"));
        let rules = pm_ratelimit::Rules::new();
        let rule = Rule::always().by(By::User).quota(Quota::per_day(1));
        let limiter = pm_ratelimit::Limiter::builder(rules.rule("a", rule.clone()));
        let book = RuleBook::builder(limiter).store(store).build().unwrap();
        book.synchronize().await.unwrap();
        let (ada, bob) = (pm_core::Identity::new("ada"), pm_core::Identity::new("bob"));
        book.assign("a", &bob, Quota::per_day(3)).await.unwrap();
        let bobs = "\u{1f}bob\u{1f}a";
        let written = server.ask(&["HGET", "{guard}:quotas", bobs]);
        assert!(written.ends_with(" 3 3 86400 0"), "{written}");
        let _ = server.ask(&["HSET", "{guard}:quotas", bobs, "many"]);
        book.edit([Edit::put("b", rule)]).await.unwrap();
        book.synchronize().await.unwrap();
        assert!(book.quota("a", &bob).await.is_err());
        book.assign("a", &ada, Quota::per_day(4)).await.unwrap();
        book.assign("a", &bob, Quota::per_day(5)).await.unwrap();
        let quota = book.quota("a", &bob).await.unwrap();
        assert_eq!(quota, Some(Quota::per_day(5)));
    }

    /// A replica that has become the primary before it had heard of the last change.
    #[tokio::test]
    async fn a_version_that_was_lost_is_not_given_again() {
        let server = RedisServer::start();
        let store = Arc::new(RedisStore::new(connect(&server).await).with_name("guard"));
        let book = || {
            let limiter = pm_ratelimit::Limiter::builder(pm_ratelimit::Rules::new());
            RuleBook::builder(limiter)
                .store(store.clone())
                .build()
                .unwrap()
        };
        let blocks = || BlockList::builder().store(store.clone()).build();
        let ((one, two), (blocks, others)) = ((book(), book()), (blocks(), blocks()));
        let rule = |tokens| Rule::always().quota(Quota::per_day(tokens));
        let (first, second) = ("192.0.2.1/32", "192.0.2.2/32");
        let order = |prefix: &str| Order::on(prefix.parse().unwrap());
        let before = one
            .edit([Edit::put("a", rule(1))])
            .await
            .unwrap()
            .to_string();
        let a = server.ask(&["HGET", "{guard}:rules", "a"]);
        one.edit([Edit::put("a", rule(2))]).await.unwrap();
        two.synchronize().await.unwrap();
        blocks.block(order(first)).await.unwrap();
        others.synchronize().await.unwrap();

        let state = [
            "HSET",
            "{guard}:state",
            "rules_version",
            &before,
            "rules_changed",
            &before,
            "version",
            "0",
        ];
        let _ = server.ask(&state);
        let _ = server.ask(&["HSET", "{guard}:rules", "a", &a]);
        let _ = server.ask(&["DEL", "{guard}:entries", "{guard}:versions"]);
        for book in [&one, &two] {
            book.synchronize().await.unwrap();
            assert_eq!(book.get("a").unwrap().rule, rule(1));
        }
        two.edit([Edit::put("a", rule(3))]).await.unwrap();
        blocks.block(order(second)).await.unwrap();
        one.synchronize().await.unwrap();
        others.synchronize().await.unwrap();
        assert_eq!(one.get("a").unwrap().rule, rule(3));

        // Also if the store has gone on before anybody asked it again.
        let _ = server.ask(&["HSET", "{guard}:state", "rules_changed", &before]);
        let _ = server.ask(&["HSET", "{guard}:rules", "a", &a]);
        let quota = Arc::clone(&store).assign(
            pm_ratelimit::PolicyName::from_static("a"),
            pm_core::Identity::new("ada"),
            Quota::per_day(9),
        );
        quota.await.unwrap();
        for book in [&one, &two] {
            book.synchronize().await.unwrap();
            assert_eq!(book.get("a").unwrap().rule, rule(1));
        }
        assert!(others.get(second.parse().unwrap()).is_some());
    }

    #[tokio::test]
    async fn a_server_that_is_gone_is_an_error_and_nobody_is_unblocked() {
        let mut server = RedisServer::start();
        let store = store(connect(&server).await);
        let blocks = BlockList::builder().store(store).build();
        let prefix = "192.0.2.1/32".parse().unwrap();
        blocks.block(Order::on(prefix)).await.unwrap();
        server.kill();
        let refused = blocks
            .block(Order::on("192.0.2.2/32".parse().unwrap()))
            .await;
        assert!(matches!(
            refused,
            Err(Error::Unavailable(_) | Error::TimedOut)
        ));
        assert!(blocks.synchronize().await.is_err());
        assert!(blocks.check(prefix.network()).is_some());
    }
}
