use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Change, Id, Project, WorkItem};

/// The projects and work items of a tenant, and the fold of its change log.
///
/// It is the whole of them (the in-memory model, a client's replica) or the part that a group of
/// mutations touches ([`Backlog::part`], what a database loads before it decides).
#[derive(Clone, Debug, Default)]
pub struct Backlog {
    projects: HashMap<Id, Project>,
    items: HashMap<Id, WorkItem>,
    /// Ids that were used and may not be used again.
    deleted: HashSet<Id>,
    /// The live siblings by rank. In a part: those next to what the group touches, at least.
    lanes: HashMap<Lane, BTreeMap<u64, Id>>,
    /// In a part: the lanes that are here as a whole. `None`: everything is.
    whole_lanes: Option<HashSet<Lane>>,
}

/// The siblings below one parent; their ranks are unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// The project.
    pub project: Id,
    /// `None`: the items at the top of the project.
    pub parent: Option<Id>,
}

impl Backlog {
    /// A backlog that knows only what is inserted.
    #[must_use]
    pub fn part() -> Self {
        Self {
            whole_lanes: Some(HashSet::new()),
            ..Self::default()
        }
    }

    /// Takes over a project as it is.
    pub fn insert_project(&mut self, project: Project) {
        self.projects.insert(project.id, project);
    }

    /// Takes over a live work item as it is.
    pub fn insert_item(&mut self, item: WorkItem) {
        self.lanes
            .entry(item.lane())
            .or_default()
            .insert(item.rank, item.id);
        self.items.insert(item.id, item);
    }

    /// Remembers that an id belonged to something that was deleted.
    pub fn insert_deleted(&mut self, id: Id) {
        self.deleted.insert(id);
    }

    /// Says that the sibling with this rank is there, whatever else is known of it.
    pub fn insert_rank(&mut self, lane: Lane, rank: u64, id: Id) {
        self.lanes.entry(lane).or_default().insert(rank, id);
    }

    /// Says that every sibling of the lane was inserted.
    pub fn lane_is_whole(&mut self, lane: Lane) {
        if let Some(lanes) = &mut self.whole_lanes {
            lanes.insert(lane);
        }
    }

    /// The project with this id.
    #[must_use]
    pub fn project(&self, id: Id) -> Option<&Project> {
        self.projects.get(&id)
    }

    /// The live work item with this id.
    #[must_use]
    pub fn item(&self, id: Id) -> Option<&WorkItem> {
        self.items.get(&id)
    }

    /// All projects, in no order.
    pub fn projects(&self) -> impl Iterator<Item = &Project> {
        self.projects.values()
    }

    /// All live work items, in no order.
    pub fn items(&self) -> impl Iterator<Item = &WorkItem> {
        self.items.values()
    }

    /// The siblings of a lane, in their order.
    pub fn lane(&self, lane: Lane) -> impl Iterator<Item = Id> {
        self.lanes
            .get(&lane)
            .into_iter()
            .flat_map(|ranks| ranks.values().copied())
    }

    /// An item and everything below it, parents before children.
    #[must_use]
    pub fn tree(&self, root: &WorkItem) -> Vec<Id> {
        let mut ids = vec![root.id];
        let mut at = 0;
        while let Some(&parent) = ids.get(at) {
            ids.extend(self.lane(Lane {
                project: root.project,
                parent: Some(parent),
            }));
            at += 1;
        }
        ids
    }

    /// The items of a project, parents before children, siblings in their order.
    #[must_use]
    pub fn forest(&self, project: Id) -> Vec<&WorkItem> {
        let mut lanes = vec![Lane {
            project,
            parent: None,
        }];
        let mut items = Vec::new();
        let mut at = 0;
        while let Some(&lane) = lanes.get(at) {
            for item in self.lane(lane).filter_map(|id| self.item(id)) {
                lanes.push(Lane {
                    project,
                    parent: Some(item.id),
                });
                items.push(item);
            }
            at += 1;
        }
        items
    }

    /// Folds one event of `project` in. What is not known here is passed over: a part knows little,
    /// and a replica of one project is told of no other.
    pub fn apply(&mut self, project: Id, at_us: i64, change: &Change) {
        match change {
            Change::ProjectCreated(created) => self.insert_project(created.clone()),
            Change::ProjectRenamed { version, new, .. } => {
                if let Some(project) = self.projects.get_mut(&project) {
                    project.name.clone_from(new);
                    project.version = *version;
                    project.updated_at_us = at_us;
                }
            }
            Change::ProjectArchived { version, archived } => {
                if let Some(project) = self.projects.get_mut(&project) {
                    project.archived = *archived;
                    project.version = *version;
                    project.updated_at_us = at_us;
                }
            }
            Change::ItemCreated(item) => self.insert_item(item.clone()),
            Change::ItemUpdated {
                id, version, new, ..
            } => {
                if let Some(item) = self.items.get_mut(id) {
                    item.fields.apply(new);
                    item.version = *version;
                    item.updated_at_us = at_us;
                }
            }
            Change::ItemMoved {
                id,
                version,
                new_parent,
                new_rank,
                ..
            } => {
                if let Some(mut item) = self.remove(*id) {
                    item.parent = *new_parent;
                    item.rank = *new_rank;
                    item.version = *version;
                    item.updated_at_us = at_us;
                    self.insert_item(item);
                }
            }
            Change::ItemsDeleted { ids } => {
                for id in ids {
                    self.remove(*id);
                    self.deleted.insert(*id);
                }
            }
            Change::Rebalanced { parent, ranks } => {
                self.rerank(
                    Lane {
                        project,
                        parent: *parent,
                    },
                    ranks,
                );
            }
        }
    }

    pub(super) fn is_used(&self, id: Id) -> bool {
        self.projects.contains_key(&id) || self.items.contains_key(&id) || self.is_deleted(id)
    }

    pub(super) fn is_deleted(&self, id: Id) -> bool {
        self.deleted.contains(&id)
    }

    pub(super) fn knows_whole(&self, lane: Lane) -> bool {
        self.whole_lanes
            .as_ref()
            .is_none_or(|lanes| lanes.contains(&lane))
    }

    pub(super) fn ranks(&self, lane: Lane) -> Option<&BTreeMap<u64, Id>> {
        self.lanes.get(&lane)
    }

    fn remove(&mut self, id: Id) -> Option<WorkItem> {
        let item = self.items.remove(&id)?;
        if let Some(ranks) = self.lanes.get_mut(&item.lane()) {
            ranks.remove(&item.rank);
        }
        Some(item)
    }

    fn rerank(&mut self, lane: Lane, ranks: &[(Id, u64)]) {
        let siblings = self.lanes.entry(lane).or_default();
        // All out before any goes in: a new rank may be a neighbour's old one.
        let moved: HashSet<Id> = ranks.iter().map(|(id, _)| *id).collect();
        siblings.retain(|_, id| !moved.contains(id));
        for (id, rank) in ranks {
            siblings.insert(*rank, *id);
            if let Some(item) = self.items.get_mut(id) {
                item.rank = *rank;
            }
        }
    }
}

/// Equal if the same projects and live items are in it.
impl PartialEq for Backlog {
    fn eq(&self, other: &Self) -> bool {
        self.projects == other.projects && self.items == other.items
    }
}

impl Eq for Backlog {}
