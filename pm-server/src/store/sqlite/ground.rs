use std::collections::{BTreeMap, BTreeSet, HashSet};

use prost::Message;
use sqlx::{Row, SqliteConnection};

use super::rows::{self, Json};
use crate::{
    domain::{Backlog, Id, Lane, Mutation, Operation, WorkItem},
    r#gen as pb,
    store::{Answer, StoreError, group::Ground},
    wire::event,
};

/// What must be known to decide a group.
///
/// Lanes are loaded in part. It is enough to know the siblings next to every item that moves, goes or
/// is named as a neighbour, and the ends of every lane that something is put to an end of: whatever
/// the group does before, the siblings around the next place are then known.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    mutations: Vec<Id>,
    projects: BTreeSet<Id>,
    /// With everything above them.
    items: BTreeSet<Id>,
    /// With everything below them, too.
    trees: BTreeSet<Id>,
    /// With the siblings next to them, too.
    neighbours: BTreeSet<Id>,
    /// Their ends. More of them than places ask for: an item may be moved on, within the group, from
    /// a lane that it came into before.
    ends: BTreeSet<Lane>,
    /// Items whose lane's ends are wanted, wherever they are.
    ends_beside: BTreeSet<Id>,
    /// Items whose children's ends are.
    ends_below: BTreeSet<Id>,
    /// Items whose project's ends are.
    ends_on_top: BTreeSet<Id>,
    /// Where the items of the group's own begin.
    created: BTreeMap<Id, Lane>,
    whole: HashSet<Lane>,
}

impl Wanted {
    pub(super) fn by(group: &[Mutation]) -> Self {
        let mut wanted = Self::default();
        for mutation in group {
            wanted.mutations.push(mutation.id);
            wanted.operation(&mutation.operation);
        }
        wanted
    }

    pub(super) fn whole_lane(&mut self, lane: Lane) {
        self.whole.insert(lane);
    }

    fn operation(&mut self, operation: &Operation) {
        match operation {
            Operation::CreateProject { id, .. } => {
                self.projects.insert(*id);
                self.items.insert(*id);
            }
            Operation::RenameProject { id, .. } | Operation::ArchiveProject { id, .. } => {
                self.projects.insert(*id);
            }
            Operation::CreateItem {
                id,
                project,
                parent,
                place,
                ..
            } => {
                let lane = Lane {
                    project: *project,
                    parent: *parent,
                };
                self.projects.extend([*id, *project]);
                self.items.insert(*id);
                self.items.extend(parent);
                self.created.insert(*id, lane);
                self.ends.insert(lane);
                place
                    .neighbour()
                    .into_iter()
                    .for_each(|neighbour| self.beside(neighbour));
            }
            Operation::UpdateItem { id, .. } => {
                self.items.insert(*id);
            }
            Operation::MoveItem {
                id, parent, place, ..
            } => {
                self.beside(*id);
                self.ends_beside.insert(*id);
                place
                    .neighbour()
                    .into_iter()
                    .for_each(|neighbour| self.beside(neighbour));
                if let Some(parent) = parent {
                    self.trees.insert(*id);
                    self.items.extend(parent);
                    match parent {
                        Some(parent) => self.ends_below.insert(*parent),
                        None => self.ends_on_top.insert(*id),
                    };
                }
            }
            Operation::DeleteItem { id, .. } => {
                self.beside(*id);
                self.trees.insert(*id);
            }
        }
    }

    fn beside(&mut self, id: Id) {
        self.items.insert(id);
        self.neighbours.insert(id);
    }

    pub(super) async fn load(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Ground, StoreError> {
        let mut ground = Ground {
            backlog: Backlog::part(),
            head: rows::head(connection).await?,
            ..Ground::default()
        };
        self.load_answers(connection, &mut ground).await?;
        self.load_items(connection, &mut ground).await?;
        self.load_projects(connection, &mut ground).await?;
        self.load_neighbours(connection, &mut ground).await?;
        self.load_lanes(connection, &mut ground).await?;
        Ok(ground)
    }

    async fn load_answers(
        &self,
        connection: &mut SqliteConnection,
        ground: &mut Ground,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(include_str!("answered.sql")).bind(self.mutations.iter().json());
        for row in query.fetch_all(connection).await? {
            let digest: &[u8] = row.try_get("digest")?;
            let digest = digest
                .try_into()
                .map_err(|_| StoreError::corrupt("a digest"))?;
            let answer = read_answer(row.try_get("answer")?)
                .ok_or_else(|| StoreError::corrupt("the answer to a mutation"))?;
            ground
                .answered
                .insert(rows::id(&row, "id")?, (digest, answer));
        }
        Ok(())
    }

    async fn load_items(
        &self,
        connection: &mut SqliteConnection,
        ground: &mut Ground,
    ) -> Result<(), StoreError> {
        if self.items.is_empty() {
            return Ok(());
        }
        let query = sqlx::query(include_str!("items.sql"))
            .bind(self.items.iter().json())
            .bind(self.trees.iter().json());
        for row in query.fetch_all(connection).await? {
            if row.try_get("deleted")? {
                ground.backlog.insert_deleted(rows::id(&row, "id")?);
            } else {
                ground.backlog.insert_item(rows::item(&row)?);
            }
        }
        Ok(())
    }

    async fn load_projects(
        &self,
        connection: &mut SqliteConnection,
        ground: &mut Ground,
    ) -> Result<(), StoreError> {
        let of_items = ground.backlog.items().map(|item| item.project);
        let ids: BTreeSet<Id> = self.projects.iter().copied().chain(of_items).collect();
        let query = sqlx::query(include_str!("projects.sql")).bind(ids.iter().json());
        for row in query.fetch_all(connection).await? {
            let project = rows::project(&row)?;
            ground
                .heads
                .insert(project.id, rows::unsigned(&row, "head")?);
            ground.backlog.insert_project(project);
        }
        Ok(())
    }

    async fn load_neighbours(
        &self,
        connection: &mut SqliteConnection,
        ground: &mut Ground,
    ) -> Result<(), StoreError> {
        let lane_of = |id: &Id| {
            let created = || self.created.get(id).copied();
            ground
                .backlog
                .item(*id)
                .map(WorkItem::lane)
                .or_else(created)
        };
        let mut ends = self.ends.clone();
        ends.extend(self.ends_beside.iter().filter_map(lane_of));
        ends.extend(self.ends_below.iter().filter_map(|id| {
            let project = lane_of(id)?.project;
            Some(Lane {
                project,
                parent: Some(*id),
            })
        }));
        ends.extend(self.ends_on_top.iter().filter_map(|id| {
            let project = lane_of(id)?.project;
            Some(Lane {
                project,
                parent: None,
            })
        }));
        if ends.is_empty() && self.neighbours.is_empty() {
            return Ok(());
        }
        let ends: Vec<_> = ends
            .iter()
            .map(|lane| (rows::hex(lane.project), rows::optional_hex(lane.parent)))
            .collect();
        let query = sqlx::query(include_str!("neighbours.sql"))
            .bind(self.neighbours.iter().json())
            .bind(
                serde_json::to_string(&ends)
                    .map_err(|error| StoreError::Unavailable(error.into()))?,
            );
        for row in query.fetch_all(connection).await? {
            let rank = rows::unsigned(&row, "rank")?;
            ground
                .backlog
                .insert_rank(rows::lane(&row)?, rank, rows::id(&row, "id")?);
        }
        Ok(())
    }

    async fn load_lanes(
        &self,
        connection: &mut SqliteConnection,
        ground: &mut Ground,
    ) -> Result<(), StoreError> {
        for lane in &self.whole {
            let parent = lane
                .parent
                .map_or_else(Vec::new, |parent| parent.as_bytes().to_vec());
            let query = sqlx::query(include_str!("lane.sql"))
                .bind(lane.project.as_bytes().to_vec())
                .bind(parent);
            for row in query.fetch_all(&mut *connection).await? {
                let rank = rows::unsigned(&row, "rank")?;
                ground
                    .backlog
                    .insert_rank(*lane, rank, rows::id(&row, "id")?);
            }
            ground.backlog.lane_is_whole(*lane);
        }
        Ok(())
    }
}

fn read_answer(bytes: &[u8]) -> Option<Answer> {
    let answer = pb::Ok::decode(bytes).ok()?;
    let subject = event::subject(answer.result.as_ref()?)?;
    Some(Answer {
        rev: answer.rev,
        replayed: false,
        subject,
    })
}
