use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pm_core::{Cidr, Clock};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool, Postgres, Row, Transaction};

use super::sql;
use crate::Error;
use crate::block::{BlockStore, Cause, Changes, Effect, Entry as BlockEntry, PAGE, Position};
use crate::violations::{KEPT, Ring, Threshold, Violation, ViolationStore};

/// How long a call may take.
const DEADLINE: Duration = Duration::from_secs(1);

/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(10);

/// Two calls at a time: what is written once a second, and what is read four times a second.
const CONNECTIONS: u32 = 2;

/// The lock that writers hold until they have committed: so versions become visible in their order.
/// The ASCII codes of `pm_guard`.
const LOCK: i64 = 0x706d_5f67_7561_7264;

/// Violations and blocks in a PostgreSQL database, shared by all instances.
///
/// One writer at a time is let in, by an advisory lock: there is at most one write a second for each
/// instance. The tables `pm_guard_*` are made when it is connected, in the first schema of the search
/// path; the database may hold others.
pub struct PostgresStore {
    pool: PgPool,
    clock: Clock,
}

impl PostgresStore {
    /// Connects to a database, such as `postgres://pm@db.example/pm`, and makes the tables, once.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the address is not one, the database cannot be reached, or its
    /// tables are of another version.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer and I/O on.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let options: PgConnectOptions = url.parse().map_err(sql::failed)?;
        let options = options.disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECTING)
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
            let known = "SELECT to_regclass('pm_guard_state') IS NOT NULL";
            let known = sqlx::query(known).fetch_one(&mut *transaction).await?;
            if !known.try_get::<bool, _>(0)? {
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
    async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(LOCK)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction)
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
impl ViolationStore for PostgresStore {
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
impl BlockStore for PostgresStore {
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

sql::verbs!(Postgres);

/// The database takes any text but one with a zero byte in it.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}
