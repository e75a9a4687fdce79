use std::{path::Path, time::Duration};

use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{SqliteLog, rows};
use crate::{domain::Id, store::StoreError};

/// "pmsv": says that a file is a tenant of this server. The first migration sets it.
const APPLICATION_ID: i64 = 0x706d_7376;

/// The schema, step by step. Each step sets the file's `user_version` to its own number.
const MIGRATIONS: [&str; 1] = [include_str!("../../../migrations/sqlite/0001_backlog.sql")];

/// Reading connections of one tenant, each a thread.
const READERS: u32 = 2;

/// How long somebody else's transaction on the file is waited for: a backup, or a curious person.
const BUSY: Duration = Duration::from_secs(5);

pub(super) async fn open(path: &Path, tenant: &str, create: bool) -> Result<SqliteLog, StoreError> {
    let mut writer = writing(path, create).connect().await?;
    migrate(&mut writer, tenant).await?;
    let epoch = identify(&mut writer, tenant).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .idle_timeout(Duration::from_secs(30))
        .test_before_acquire(false)
        .connect_lazy_with(options(path).read_only(true));
    Ok(SqliteLog {
        epoch,
        writer: Mutex::new(Some(writer)),
        readers,
    })
}

/// How a file is opened by whoever writes it.
pub(super) fn writing(path: &Path, create: bool) -> SqliteConnectOptions {
    options(path)
        .create_if_missing(create)
        .journal_mode(SqliteJournalMode::Wal)
        // The answer to a mutation promises that it survives the loss of power.
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", "67108864")
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        .pragma("trusted_schema", "OFF")
        .disable_statement_logging()
}

/// Brings the schema up to date, inside one immediate transaction: whoever else opens the file
/// waits, and then finds the work done. (sqlx's own migration lock does nothing on SQLite.)
async fn migrate(connection: &mut SqliteConnection, tenant: &str) -> Result<(), StoreError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let version = pragma(&mut transaction, "PRAGMA user_version").await?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    if done > MIGRATIONS.len() {
        return Err(StoreError::corrupt(
            "it was written by a newer server; use that one",
        ));
    }
    if done == 0 {
        let tables = pragma(&mut transaction, "SELECT count(*) FROM sqlite_schema").await?;
        if tables > 0 {
            return Err(StoreError::corrupt("it is a database of something else"));
        }
    }
    for migration in &MIGRATIONS[done..] {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
    }
    if done == 0 {
        sqlx::query("INSERT INTO tenant (one, name, epoch) VALUES (1, ?, ?)")
            .bind(tenant)
            .bind(Uuid::new_v4().as_bytes().to_vec())
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Checks that the file is this tenant's and says which life of it.
async fn identify(connection: &mut SqliteConnection, tenant: &str) -> Result<Id, StoreError> {
    if pragma(connection, "PRAGMA application_id").await? != APPLICATION_ID {
        return Err(StoreError::corrupt("it is a database of something else"));
    }
    let row = sqlx::query("SELECT name, epoch FROM tenant")
        .fetch_one(connection)
        .await?;
    if row.try_get::<&str, _>("name")? != tenant {
        return Err(StoreError::corrupt("it is the file of another tenant"));
    }
    rows::id(&row, "epoch")
}

async fn pragma(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, StoreError> {
    Ok(sqlx::query(sql).fetch_one(connection).await?.try_get(0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_corrupt(result: Result<SqliteLog, StoreError>, word: &str) {
        match result {
            Err(StoreError::Corrupt { what, .. }) => assert!(what.contains(word), "{what}"),
            other => panic!("not refused as damaged: {other:?}"),
        }
    }

    #[tokio::test]
    async fn the_writer_syncs_fully() {
        let folder = tempfile::tempdir().unwrap();
        let log = SqliteLog::create(&folder.path().join("a.sqlite"), "a")
            .await
            .unwrap();
        let mut writer = log.writer.lock().await;
        let writer = writer.as_mut().unwrap();
        assert_eq!(pragma(writer, "PRAGMA synchronous").await.unwrap(), 2);
        let mode = sqlx::query("PRAGMA journal_mode")
            .fetch_one(writer)
            .await
            .unwrap();
        assert_eq!(mode.get::<String, _>(0), "wal");
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_not_made_by_opening_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        let error = SqliteLog::open(&path, "a").await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_wrong_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        drop(SqliteLog::create(&path, "a").await.unwrap());
        is_corrupt(SqliteLog::open(&path, "b").await, "another tenant");

        let garbage = folder.path().join("garbage.sqlite");
        std::fs::write(&garbage, vec![7; 5000]).unwrap();
        is_corrupt(SqliteLog::open(&garbage, "a").await, "cannot read");

        let other = folder.path().join("other.sqlite");
        let options = SqliteConnectOptions::new()
            .filename(&other)
            .create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql("CREATE TABLE x (y)")
            .execute(&mut connection)
            .await
            .unwrap();
        is_corrupt(SqliteLog::open(&other, "a").await, "something else");
    }

    #[tokio::test]
    async fn a_file_of_a_newer_server_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        let log = SqliteLog::create(&path, "a").await.unwrap();
        if let Some(writer) = log.writer.lock().await.as_mut() {
            sqlx::raw_sql("PRAGMA user_version = 99")
                .execute(writer)
                .await
                .unwrap();
        }
        is_corrupt(SqliteLog::open(&path, "a").await, "newer");
    }
}
