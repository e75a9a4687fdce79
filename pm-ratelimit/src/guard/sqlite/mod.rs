use std::fmt;
use std::path::Path;
use std::time::Duration;

use pm_core::Clock;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, Sqlite, SqlitePool, Transaction};

use super::sql;
use crate::Error;

/// How long a call may take, and how long it waits for somebody else's transaction.
const DEADLINE: Duration = Duration::from_secs(1);

const TABLES: &str = include_str!("tables.sql");

/// Whether they are there.
const KNOWN: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'pm_guard_state')";

/// Violations, blocks, rules and emergencies in a SQLite file: for one machine, across restarts, and for
/// several processes on it.
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

    /// Nobody else writes until it is over.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.pool.begin_with("BEGIN IMMEDIATE").await
    }

    /// One moment of all tables.
    async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.pool.begin().await
    }
}

sql::backend!(Sqlite, SqliteStore);

fn text(text: &str) -> String {
    text.to_owned()
}
