//! Every store of violations and blocks keeps the whole contract.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod memory {
    use std::sync::Arc;

    use pm_ratelimit::guard::MemoryStore;

    pm_ratelimit::guard_conformance!(Arc::new(MemoryStore::new()));
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::sync::Arc;

    use pm_ratelimit::guard::SqliteStore;
    use pm_ratelimit::{Error, Violation, ViolationStore};
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
            assert_eq!(found, [row.clone()]);
        }
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
    use std::sync::{Arc, LazyLock};

    use pm_ratelimit::guard::PostgresStore;
    use pm_testing::PostgresServer;

    /// One server for all of them; each has a schema of its own.
    static SERVER: LazyLock<PostgresServer> = LazyLock::new(PostgresServer::start);
    static SCHEMAS: AtomicUsize = AtomicUsize::new(0);

    async fn fresh() -> Arc<PostgresStore> {
        let schema = format!("s{}", SCHEMAS.fetch_add(1, Ordering::Relaxed));
        let plain = sqlx::PgPool::connect(&SERVER.url()).await.unwrap();
        let create = format!("CREATE SCHEMA {schema}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(create))
            .execute(&plain)
            .await
            .unwrap();
        plain.close().await;
        Arc::new(PostgresStore::connect(&url(&schema)).await.unwrap())
    }

    fn url(schema: &str) -> String {
        format!("{}?options=-csearch_path%3D{schema}", SERVER.url())
    }

    pm_ratelimit::guard_conformance!(fresh().await);

    #[tokio::test]
    async fn many_who_connect_at_once_make_the_tables_once() {
        drop(fresh().await);
        let schema = "together";
        let plain = sqlx::PgPool::connect(&SERVER.url()).await.unwrap();
        sqlx::raw_sql("CREATE SCHEMA together")
            .execute(&plain)
            .await
            .unwrap();
        let url = url(schema);
        let connect = || PostgresStore::connect(&url);
        let (one, two, three) = tokio::join!(connect(), connect(), connect());
        assert!(
            one.is_ok() && two.is_ok() && three.is_ok(),
            "{one:?} {two:?} {three:?}"
        );
    }
}
