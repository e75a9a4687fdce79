use std::collections::{BTreeMap, BTreeSet, HashSet};

use prost::Message;
use sqlx::{Row, SqliteConnection};

use super::rows::{self, Json};
use crate::{
    domain::{Backlog, Id, Lane, Mutation, Operation, Place, WorkItem},
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
    /// Their ends.
    ends: BTreeSet<Lane>,
    /// Items that are put to an end of the lane they are in, wherever the group has put them by then.
    ends_of: BTreeSet<Id>,
    /// Items that the group puts somewhere, and below what: their rows do not say it yet.
    put: BTreeSet<(Id, Option<Id>)>,
    /// Items that the group makes, and their projects.
    made: BTreeMap<Id, Id>,
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
                self.projects.extend([*id, *project]);
                self.items.insert(*id);
                self.items.extend(parent);
                self.put.insert((*id, *parent));
                self.made.insert(*id, *project);
                match place.neighbour() {
                    Some(neighbour) => self.beside(neighbour),
                    None => {
                        self.ends.insert(Lane {
                            project: *project,
                            parent: *parent,
                        });
                    }
                }
            }
            Operation::UpdateItem { id, .. } => {
                self.items.insert(*id);
            }
            Operation::MoveItem {
                id, parent, place, ..
            } => {
                self.beside(*id);
                self.items.extend(parent.iter().flatten());
                if let Some(parent) = parent {
                    self.trees.insert(*id);
                    self.put.insert((*id, *parent));
                }
                match (place, parent) {
                    (Place::After(neighbour) | Place::Before(neighbour), _) => {
                        self.beside(*neighbour);
                    }
                    (Place::First | Place::Last, _) => {
                        self.ends_of.insert(*id);
                        self.ends_of.extend(parent.iter().flatten());
                    }
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
        let mut ends = self.ends.clone();
        for id in &self.ends_of {
            let item = ground.backlog.item(*id);
            let project = item.map(|item| item.project);
            let Some(project) = project.or_else(|| self.made.get(id).copied()) else {
                continue;
            };
            // Its own lane if it stays there; the one below it if it is to be a parent.
            ends.extend(item.map(WorkItem::lane));
            let put = self.put.range((*id, None)..);
            let put = put.take_while(|(item, _)| item == id);
            let parents = put.map(|(_, parent)| *parent).chain([Some(*id), None]);
            ends.extend(parents.map(|parent| Lane { project, parent }));
        }
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
