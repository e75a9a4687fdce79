use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pm_core::{Cidr, Clock};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, Sqlite, SqlitePool, Transaction};

use super::sql;
use crate::Error;
use crate::block::{BlockStore, Cause, Changes, Effect, Entry as BlockEntry, PAGE, Position};
use crate::violations::{KEPT, Ring, Threshold, Violation, ViolationStore};

/// How long a call may take, and how long it waits for somebody else's transaction.
const DEADLINE: Duration = Duration::from_secs(1);

/// Violations and blocks in a SQLite file: for one machine, across restarts, and for several
/// processes on it.
///
/// The file is in WAL mode, and commits survive the end of the process, though the last ones not the
/// loss of power. The tables `pm_guard_*` are made when it is opened; the file may hold others.
pub struct SqliteStore {
    pool: SqlitePool,
    clock: Clock,
}

impl SqliteStore {
    /// Opens the file, makes it where there is none, and makes the tables, once.
    ///
    /// One connection, which is a thread of its own, does all the work.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the file cannot be opened, or its tables are of another version.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(DEADLINE)
            .pragma("trusted_schema", "OFF")
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(DEADLINE)
            .test_before_acquire(false);
        let pool = pool.connect_with(options).await.map_err(sql::failed)?;
        let store = Self {
            pool,
            clock: Clock::system(),
        };
        store.make_tables().await?;
        Ok(store)
    }

    async fn make_tables(&self) -> Result<(), Error> {
        let mut transaction = self.begin().await.map_err(sql::failed)?;
        let made = async {
            let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'pm_guard_state'";
            let tables = sqlx::query(tables).fetch_one(&mut *transaction).await?;
            if tables.try_get::<i64, _>(0)? == 0 {
                sqlx::raw_sql(include_str!("tables.sql"))
                    .execute(&mut *transaction)
                    .await?;
                sqlx::query("INSERT INTO pm_guard_state VALUES (1, $1, $2, 0)")
                    .bind(sql::SCHEMA)
                    .bind(sql::new_epoch())
                    .execute(&mut *transaction)
                    .await?;
            }
            let schema = sqlx::query("SELECT schema FROM pm_guard_state");
            let schema: i64 = schema.fetch_one(&mut *transaction).await?.try_get(0)?;
            transaction.commit().await?;
            Ok(schema)
        };
        match made.await.map_err(sql::failed)? {
            sql::SCHEMA => Ok(()),
            other => Err(Error::unavailable(sql::OtherSchema(other))),
        }
    }

    /// Nobody else writes until it is over.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.pool.begin_with("BEGIN IMMEDIATE").await
    }

    async fn within_deadline<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Error> {
        let done = self.clock.within(DEADLINE, work).await;
        done.map_err(|_| Error::TimedOut)?.map_err(sql::failed)
    }
}

#[async_trait]
impl ViolationStore for SqliteStore {
    async fn record(
        self: Arc<Self>,
        rows: Vec<Violation>,
        alert: Threshold,
        now_micros: i64,
    ) -> Result<Vec<Cidr>, Error> {
        self.within_deadline(async {
            let mut transaction = self.begin().await?;
            let passed = add_violations(&mut transaction, &rows, &alert, now_micros).await?;
            transaction.commit().await?;
            Ok(passed)
        })
        .await
    }

    async fn recent(
        self: Arc<Self>,
        prefix: Cidr,
        limit: usize,
        now_micros: i64,
    ) -> Result<Vec<Violation>, Error> {
        self.within_deadline(async {
            let mut connection = self.pool.acquire().await?;
            recent_violations(&mut connection, prefix, limit, now_micros).await
        })
        .await
    }
}

#[async_trait]
impl BlockStore for SqliteStore {
    async fn impose(
        self: Arc<Self>,
        entries: Vec<BlockEntry>,
        now_micros: i64,
    ) -> Result<Vec<BlockEntry>, Error> {
        self.within_deadline(async {
            let mut transaction = self.begin().await?;
            let stand = impose_all(&mut transaction, entries, now_micros).await?;
            transaction.commit().await?;
            Ok(stand)
        })
        .await
    }

    async fn changes(self: Arc<Self>, since: Position, _: i64) -> Result<Changes, Error> {
        self.within_deadline(async {
            let mut connection = self.pool.acquire().await?;
            changes_since(&mut connection, since).await
        })
        .await
    }
}

sql::verbs!(Sqlite);

fn text(text: &str) -> String {
    text.to_owned()
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}
