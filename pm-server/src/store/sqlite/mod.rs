//! A tenant in one SQLite file.
//!
//! A group of mutations is a handful of statements, however many there are in it: every statement is
//! a hop to the connection's thread, so rows travel as one JSON parameter and bytes as one blob.

mod error;
mod ground;
mod open;
mod probe;
mod rows;
mod write;

use std::path::Path;

use async_trait::async_trait;
use futures_util::StreamExt;
use sqlx::{Connection, Row, SqliteConnection, SqlitePool};
use tokio::sync::Mutex;

pub(crate) use self::probe::probe_sqlite;
use self::{ground::Wanted, rows::Json};
use super::{
    Activity, Applied, Entry, Log, Page, Position, Scope, Snapshot, StoreError, group::Plan,
};
use crate::domain::{Backlog, Id, Mutation};

/// A log in an SQLite file: write-ahead log, full sync, one writing connection, a few reading ones.
///
/// Each connection is a thread of its own; the reading ones come with the first read and go when
/// they are idle.
#[derive(Debug)]
pub struct SqliteLog {
    epoch: Id,
    /// The one connection that writes. `None` once closed.
    writer: Mutex<Option<SqliteConnection>>,
    readers: SqlitePool,
}

impl SqliteLog {
    /// Opens the file of a tenant, which must exist, and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if it is damaged, is something else, is another tenant's, or was
    /// written by a newer server; [`StoreError::Unavailable`] if it cannot be opened.
    pub async fn open(path: &Path, tenant: &str) -> Result<Self, StoreError> {
        open::open(path, tenant, false).await
    }

    /// Creates the file of a tenant, or opens it if a creation was begun before.
    ///
    /// # Errors
    ///
    /// As [`SqliteLog::open`].
    pub async fn create(path: &Path, tenant: &str) -> Result<Self, StoreError> {
        open::open(path, tenant, true).await
    }

    async fn read_head(&self, connection: &mut SqliteConnection) -> Result<Position, StoreError> {
        Ok(Position {
            epoch: self.epoch,
            rev: rows::head(connection).await?,
        })
    }
}

#[async_trait]
impl Log for SqliteLog {
    async fn head(&self) -> Result<Position, StoreError> {
        let mut reader = self.readers.acquire().await?;
        self.read_head(&mut reader).await
    }

    async fn apply(&self, group: &[Mutation]) -> Result<Applied, StoreError> {
        let mut writer = self.writer.lock().await;
        let writer = writer.as_mut().ok_or_else(error::closed)?;
        // Immediate: a deferred transaction that turns into a writing one can fail as locked, and
        // no busy time-out helps it. Dropped before the commit, it rolls back.
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        let mut wanted = Wanted::by(group);
        let (ground, plan): (_, Plan) = loop {
            let mut ground = wanted.load(&mut transaction).await?;
            match ground.plan(group) {
                Ok(plan) => break (ground, plan),
                Err(lane) => wanted.whole_lane(lane),
            }
        };
        write::write(&mut transaction, group, &ground.backlog, &plan).await?;
        transaction.commit().await?;
        Ok(plan.applied)
    }

    async fn read(&self, scope: Scope, after: u64, limit: usize) -> Result<Page, StoreError> {
        let mut reader = self.readers.acquire().await?;
        // The head first: what is committed while the events are read is for the next page.
        let head = rows::head(&mut reader).await?;
        let query = match scope {
            Scope::Tenant => sqlx::query(
                "SELECT rev, project, event FROM log WHERE rev > ? AND rev <= ? ORDER BY rev LIMIT ?",
            ),
            Scope::Project(_) => sqlx::query(
                "SELECT rev, project, event FROM log WHERE rev > ? AND rev <= ? AND project = ?4 \
                 ORDER BY rev LIMIT ?3",
            ),
        };
        let query = query
            .bind(rows::integer(after))
            .bind(rows::integer(head))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let query = match scope {
            Scope::Tenant => query,
            Scope::Project(project) => query.bind(project.as_bytes().to_vec()),
        };
        let mut page = Page::begin(head);
        let mut found = query.fetch(&mut *reader);
        while let Some(row) = found.next().await {
            if page.push(rows::entry(&row?)?, limit) {
                break;
            }
        }
        Ok(page)
    }

    async fn snapshot(&self, scope: Scope) -> Result<Snapshot, StoreError> {
        let mut reader = self.readers.acquire().await?;
        // One read transaction is one state of the file: the rev and the rows belong together.
        let mut transaction = reader.begin().await?;
        let position = self.read_head(&mut transaction).await?;
        let project = match scope {
            Scope::Tenant => None,
            Scope::Project(project) => Some(project.as_bytes().to_vec()),
        };
        let projects = sqlx::query(
            "SELECT id, name, archived, version, created_us, updated_us FROM project \
             WHERE ?1 IS NULL OR id = ?1 ORDER BY created_us, id",
        );
        let projects = projects
            .bind(project.clone())
            .fetch_all(&mut *transaction)
            .await?;
        let items = sqlx::query(
            "SELECT id, project, parent, kind, rank, status, title, description, labels, \
             assignee, version, created_us, updated_us FROM item \
             WHERE (?1 IS NULL OR project = ?1) AND deleted_us IS NULL",
        );
        let items = items.bind(project).fetch_all(&mut *transaction).await?;
        // Copied out before it is sent: an open read transaction would stop the checkpoints.
        transaction.rollback().await?;
        drop(reader);

        let projects = projects
            .iter()
            .map(rows::project)
            .collect::<Result<Vec<_>, _>>()?;
        let mut backlog = Backlog::default();
        for row in &items {
            backlog.insert_item(rows::item(row)?);
        }
        let items = projects
            .iter()
            .flat_map(|project| backlog.forest(project.id));
        let items = items.cloned().collect();
        Ok(Snapshot {
            position,
            projects,
            items,
        })
    }

    async fn item(&self, id: Id, limit: usize) -> Result<Option<Activity>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        let ids = [id];
        let found = sqlx::query(include_str!("items.sql"))
            .bind(ids.iter().json())
            .bind("[]")
            .fetch_all(&mut *reader)
            .await?;
        let mut item = None;
        for row in &found {
            if !row.try_get::<bool, _>("deleted")? && rows::id(row, "id")? == id {
                item = Some(rows::item(row)?);
            }
        }
        let Some(item) = item else { return Ok(None) };
        let entries = sqlx::query(
            "SELECT rev, project, event FROM log WHERE item = ? ORDER BY rev DESC LIMIT ?",
        );
        let entries = entries
            .bind(id.as_bytes().to_vec())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&mut *reader)
            .await?;
        let entries = entries
            .iter()
            .map(rows::entry)
            .collect::<Result<Vec<Entry>, _>>()?;
        Ok(Some(Activity { item, entries }))
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.readers.close().await;
        // Last: closing the last connection of a file folds its write-ahead log in.
        match self.writer.lock().await.take() {
            Some(writer) => Ok(writer.close().await?),
            None => Ok(()),
        }
    }
}
