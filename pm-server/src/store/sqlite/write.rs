use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, BytesMut};
use prost::Message;
use serde::Serialize;
use serde_json::Value;
use sqlx::SqliteConnection;

use super::rows::{Json, hex, optional_hex};
use crate::{
    domain::{Backlog, Change, Event, Id, Mutation, WorkItem},
    r#gen as pb,
    store::{Answer, StoreError, group::Plan},
    wire::encode,
};

/// Writes what a group amounts to. `after` is the state after all of it.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    group: &[Mutation],
    after: &Backlog,
    plan: &Plan,
) -> Result<(), StoreError> {
    let touched = Touched::by(&plan.events);
    let projects: Vec<_> = touched.projects(after).collect();
    execute(connection, include_str!("write_projects.sql"), &projects).await?;
    execute(
        connection,
        include_str!("delete_items.sql"),
        &touched.deleted,
    )
    .await?;
    if !touched.placed.is_empty() {
        let ids = touched.placed.iter().json();
        sqlx::query(include_str!("park_items.sql"))
            .bind(ids)
            .execute(&mut *connection)
            .await?;
    }
    let ranks: Vec<_> = touched.ranks(after).collect();
    execute(connection, include_str!("rank_items.sql"), &ranks).await?;
    let items: Vec<_> = touched.items(after).collect();
    execute(connection, include_str!("write_items.sql"), &items).await?;
    write_log(connection, plan).await?;
    write_answers(connection, group, plan).await
}

/// What the events of a group leave changed.
#[derive(Debug, Default)]
struct Touched<'a> {
    projects: BTreeSet<Id>,
    /// Written as they are afterwards.
    items: BTreeSet<Id>,
    /// As they were created, in case they are gone again.
    created: BTreeMap<Id, &'a WorkItem>,
    /// Items that leave a place they had before the group.
    placed: BTreeSet<Id>,
    /// Items that got another rank to make room, and which.
    ranks: BTreeMap<Id, u64>,
    deleted: Vec<(String, i64)>,
    deleted_at: BTreeMap<Id, i64>,
}

impl<'a> Touched<'a> {
    fn by(events: &'a [Event]) -> Self {
        let mut touched = Self::default();
        for event in events {
            touched.event(event);
        }
        touched
    }

    fn event(&mut self, event: &'a Event) {
        match &event.change {
            Change::ProjectCreated(_)
            | Change::ProjectRenamed { .. }
            | Change::ProjectArchived { .. } => {
                self.projects.insert(event.project);
            }
            Change::ItemCreated(item) => {
                self.items.insert(item.id);
                self.created.insert(item.id, item);
            }
            Change::ItemUpdated { id, .. } => {
                self.items.insert(*id);
            }
            Change::ItemMoved { id, .. } => {
                self.items.insert(*id);
                self.leave_place(*id);
            }
            Change::ItemsDeleted { ids } => {
                for id in ids {
                    self.items.remove(id);
                    self.deleted.push((hex(*id), event.at_us));
                    self.deleted_at.insert(*id, event.at_us);
                }
            }
            Change::Rebalanced { ranks, .. } => {
                for (id, rank) in ranks {
                    self.leave_place(*id);
                    self.ranks.insert(*id, *rank);
                }
            }
        }
    }

    fn leave_place(&mut self, id: Id) {
        if !self.created.contains_key(&id) {
            self.placed.insert(id);
        }
    }

    fn projects(&self, after: &Backlog) -> impl Iterator<Item = impl Serialize> {
        self.projects
            .iter()
            .filter_map(|id| after.project(*id))
            .map(|project| {
                (
                    hex(project.id),
                    project.name.clone(),
                    i64::from(project.archived),
                    project.version,
                    project.created_at_us,
                    project.updated_at_us,
                )
            })
    }

    /// New ranks of siblings of which nothing else is known. Those that are known may have moved on
    /// since they got theirs, and are written as they are in the end.
    fn ranks<'s>(&'s self, after: &'s Backlog) -> impl Iterator<Item = (String, u64)> {
        let unknown = self
            .ranks
            .iter()
            .filter(|(id, _)| after.item(**id).is_none());
        unknown.map(|(id, rank)| (hex(*id), *rank))
    }

    fn items<'s>(&'s self, after: &'s Backlog) -> impl Iterator<Item = Vec<Value>> + use<'s, 'a> {
        let written: BTreeSet<_> = self.items.iter().chain(self.ranks.keys()).collect();
        let live = written.into_iter().filter_map(|id| after.item(*id));
        let live = live.map(|item| (item, None));
        // An id that was used and given up within the group is used nevertheless.
        let gone = self.created.iter().filter_map(|(id, item)| {
            let at = self.deleted_at.get(id)?;
            Some((*item, Some(*at)))
        });
        live.chain(gone).map(|(item, deleted)| row(item, deleted))
    }
}

fn row(item: &WorkItem, deleted: Option<i64>) -> Vec<Value> {
    let fields = &item.fields;
    vec![
        hex(item.id).into(),
        hex(item.project).into(),
        optional_hex(item.parent).into(),
        (encode::kind(item.kind) as i32).into(),
        item.rank.into(),
        (encode::status(fields.status) as i32).into(),
        fields.title.as_str().into(),
        fields.description.as_str().into(),
        fields.labels.clone().into(),
        fields.assignee.as_str().into(),
        item.version.into(),
        item.created_at_us.into(),
        item.updated_at_us.into(),
        deleted.into(),
    ]
}

async fn write_log(connection: &mut SqliteConnection, plan: &Plan) -> Result<(), StoreError> {
    let mut blob = Blob::default();
    let entries = plan.events.iter().zip(&plan.applied.entries);
    let rows: Vec<_> = entries
        .map(|(event, entry)| {
            let (offset, length) = blob.push(|bytes| bytes.put_slice(&entry.event));
            let item = event.change.item().map(hex);
            (event.rev, hex(event.project), item, offset, length)
        })
        .collect();
    execute_with(connection, include_str!("write_log.sql"), &rows, blob).await
}

async fn write_answers(
    connection: &mut SqliteConnection,
    group: &[Mutation],
    plan: &Plan,
) -> Result<(), StoreError> {
    let mut blob = Blob::default();
    let mut rows = Vec::with_capacity(plan.fresh.len());
    for at in &plan.fresh {
        let (mutation, Ok(answer)) = (&group[*at], &plan.applied.answers[*at]) else {
            continue;
        };
        let (offset, length) = blob.push(|bytes| write_answer(answer, bytes));
        let digest = hex(Id::from_bytes(mutation.digest));
        rows.push((hex(mutation.id), digest, mutation.at_us, offset, length));
    }
    execute_with(connection, include_str!("write_mutations.sql"), &rows, blob).await
}

fn write_answer(answer: &Answer, bytes: &mut BytesMut) {
    let result = Some(encode::subject(&answer.subject));
    let answer = pb::Ok {
        rev: answer.rev,
        replayed: false,
        result,
    };
    bytes.put_slice(&answer.encode_to_vec());
}

/// Byte strings end to end, each with its place, counted from 1 as SQL does.
#[derive(Debug, Default)]
struct Blob(BytesMut);

impl Blob {
    fn push(&mut self, write: impl FnOnce(&mut BytesMut)) -> (usize, usize) {
        let start = self.0.len();
        write(&mut self.0);
        (start + 1, self.0.len() - start)
    }
}

async fn execute(
    connection: &mut SqliteConnection,
    sql: &'static str,
    rows: &[impl Serialize],
) -> Result<(), StoreError> {
    if !rows.is_empty() {
        sqlx::query(sql)
            .bind(json(rows)?)
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn execute_with(
    connection: &mut SqliteConnection,
    sql: &'static str,
    rows: &[impl Serialize],
    blob: Blob,
) -> Result<(), StoreError> {
    if !rows.is_empty() {
        sqlx::query(sql)
            .bind(json(rows)?)
            .bind(blob.0.to_vec())
            .execute(connection)
            .await?;
    }
    Ok(())
}

fn json(rows: &[impl Serialize]) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(|error| StoreError::Unavailable(error.into()))
}
