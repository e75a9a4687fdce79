mod transaction;

use std::fmt;
use std::time::Duration;

use pm_core::Clock;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool, Row};

use self::transaction::Transaction;
use super::sql;
use crate::Error;

/// How long a call may take.
const DEADLINE: Duration = Duration::from_secs(1);

/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(10);

/// So many calls at a time: what is written once a second, what is read four times a second, and
/// quotas of users who are seen for the first time.
const CONNECTIONS: u32 = 4;

/// A connection that was not used for longer is tried first: the server may have been restarted.
const FRESH: Duration = Duration::from_secs(1);

/// The lock that writers hold until they have committed: so versions become visible in their order.
/// The ASCII codes of `pm_guard`.
const LOCK: i64 = 0x706d_5f67_7561_7264;

const TABLES: &str = include_str!("tables.sql");

/// Whether they are there.
const KNOWN: &str = "SELECT to_regclass('pm_guard_state') IS NOT NULL";

/// Violations, blocks, rules and emergencies in a PostgreSQL database, shared by all instances.
///
/// One writer at a time is let in, by an advisory lock: there is at most one write a second for each
/// instance, and what somebody orders. The tables `pm_guard_*` are made when it is connected, in the first
/// schema of the search path; the database may hold others.
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
    /// tables are of another version; [`Error::TimedOut`] after ten seconds.
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
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for > FRESH {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            });
        let pool = pool.connect_with(options).await.map_err(sql::failed)?;
        let store = Self {
            pool,
            clock: Clock::system(),
        };
        let tables = store.clock.within(CONNECTING, store.make_tables());
        tables.await.map_err(|_| Error::TimedOut)??;
        Ok(store)
    }

    /// Nobody else writes until it is over. The server gives up on it before we do, and on us if we are
    /// gone with the lock.
    async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        let begin = "BEGIN; SET LOCAL lock_timeout = '900ms'; \
                     SET LOCAL idle_in_transaction_session_timeout = '2s'";
        let mut transaction = Transaction::begin(&self.pool, begin).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(LOCK)
            .execute(&mut *transaction)
            .await?;
        Ok(transaction)
    }

    /// One moment of all tables.
    async fn snapshot(&self) -> Result<Transaction, sqlx::Error> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        Transaction::begin(&self.pool, begin).await
    }
}

sql::backend!(Postgres, PostgresStore);

/// The database takes any text but one with a zero byte in it.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
