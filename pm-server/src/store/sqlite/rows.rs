//! Rows of the schema, and the parameters that many of them travel in.

use bytes::Bytes;
use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    domain::{Fields, Id, Lane, Project, WorkItem},
    store::{Entry, StoreError},
    wire::decode,
};

/// Ids as one JSON parameter, an array of hex texts.
pub(super) trait Json {
    fn json(self) -> String;
}

impl<'a, I: Iterator<Item = &'a Id>> Json for I {
    fn json(self) -> String {
        let ids: Vec<_> = self.map(|id| format!("\"{}\"", hex(*id))).collect();
        format!("[{}]", ids.join(","))
    }
}

pub(super) fn hex(id: Id) -> String {
    Uuid::from(id).simple().to_string()
}

pub(super) fn optional_hex(id: Option<Id>) -> String {
    id.map(hex).unwrap_or_default()
}

/// Revs, ranks and versions stay far below what a signed column holds.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) async fn head(connection: &mut SqliteConnection) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT coalesce(max(rev), 0) AS rev FROM log").fetch_one(connection);
    unsigned(&row.await?, "rev")
}

pub(super) fn project(row: &SqliteRow) -> Result<Project, StoreError> {
    Ok(Project {
        id: id(row, "id")?,
        name: row.try_get("name")?,
        archived: row.try_get("archived")?,
        version: unsigned(row, "version")?,
        created_at_us: row.try_get("created_us")?,
        updated_at_us: row.try_get("updated_us")?,
    })
}

pub(super) fn item(row: &SqliteRow) -> Result<WorkItem, StoreError> {
    let lane = lane(row)?;
    Ok(WorkItem {
        id: id(row, "id")?,
        project: lane.project,
        parent: lane.parent,
        kind: decode::kind(row.try_get("kind")?)
            .ok_or_else(|| StoreError::corrupt("an item of no kind"))?,
        fields: Fields {
            status: decode::status(row.try_get("status")?)
                .ok_or_else(|| StoreError::corrupt("an item of no status"))?,
            title: row.try_get("title")?,
            description: row.try_get("description")?,
            labels: serde_json::from_str(row.try_get("labels")?)
                .map_err(|_| StoreError::corrupt("labels that are no list"))?,
            assignee: row.try_get("assignee")?,
        },
        rank: unsigned(row, "rank")?,
        version: unsigned(row, "version")?,
        created_at_us: row.try_get("created_us")?,
        updated_at_us: row.try_get("updated_us")?,
    })
}

pub(super) fn lane(row: &SqliteRow) -> Result<Lane, StoreError> {
    let parent: &[u8] = row.try_get("parent")?;
    let parent = match parent {
        [] => None,
        _ => Some(id(row, "parent")?),
    };
    Ok(Lane {
        project: id(row, "project")?,
        parent,
    })
}

pub(super) fn entry(row: &SqliteRow) -> Result<Entry, StoreError> {
    let event: Vec<u8> = row.try_get("event")?;
    Ok(Entry {
        rev: unsigned(row, "rev")?,
        project: id(row, "project")?,
        event: Bytes::from(event),
    })
}

pub(super) fn id(row: &SqliteRow, column: &str) -> Result<Id, StoreError> {
    let bytes: &[u8] = row.try_get(column)?;
    Id::from_slice(bytes).ok_or_else(|| StoreError::corrupt(format!("{column} is not an id")))
}

pub(super) fn unsigned(row: &SqliteRow, column: &str) -> Result<u64, StoreError> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(|_| StoreError::corrupt(format!("{column} is negative")))
}
