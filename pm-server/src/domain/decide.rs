use super::{
    Backlog, Change, Fields, Id, Kind, Lane, Operation, Patch, Place, Project, Refusal, Subject,
    WorkItem,
    hierarchy::{check_depth, check_parent},
    place::reranked,
};

/// What a mutation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The project whose events the changes are.
    pub project: Id,
    /// In order; empty if everything already is as asked for.
    pub changes: Vec<Change>,
    /// What the mutation was about, as it is afterwards.
    pub subject: Subject,
}

/// Why there is no [`Decision`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// There will be none.
    Refused(Refusal),
    /// New ranks are needed and this part of the backlog does not hold all siblings: load the lane
    /// and decide again.
    LaneNeeded(Lane),
}

impl From<Refusal> for Undecided {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Backlog {
    /// Decides what `operation`, asked for at `at_us`, does to this backlog. Changes nothing: fold
    /// the decision's changes in with [`Backlog::apply`].
    ///
    /// # Errors
    ///
    /// [`Undecided`]; nothing of the operation may then be applied.
    pub fn decide(&self, operation: &Operation, at_us: i64) -> Result<Decision, Undecided> {
        operation.check()?;
        match operation {
            Operation::CreateProject { id, name } => self.create_project(*id, name, at_us),
            Operation::RenameProject { id, name, expected } => {
                self.rename_project(*id, name, *expected, at_us)
            }
            Operation::ArchiveProject {
                id,
                archived,
                expected,
            } => self.archive_project(*id, *archived, *expected, at_us),
            Operation::CreateItem {
                id,
                project,
                parent,
                kind,
                fields,
                place,
            } => {
                let lane = Lane {
                    project: *project,
                    parent: *parent,
                };
                self.create_item(*id, lane, *kind, fields, *place, at_us)
            }
            Operation::UpdateItem {
                id,
                patch,
                expected,
            } => self.update_item(*id, patch, *expected, at_us),
            Operation::MoveItem {
                id,
                parent,
                place,
                expected,
            } => self.move_item(*id, *parent, *place, *expected, at_us),
            Operation::DeleteItem { id, expected } => self.delete_item(*id, *expected),
        }
    }

    fn create_project(&self, id: Id, name: &str, at_us: i64) -> Result<Decision, Undecided> {
        self.check_unused(id)?;
        let project = Project {
            id,
            name: name.to_owned(),
            archived: false,
            version: 1,
            created_at_us: at_us,
            updated_at_us: at_us,
        };
        Ok(Decision {
            project: id,
            changes: vec![Change::ProjectCreated(project.clone())],
            subject: Subject::Project(project),
        })
    }

    fn rename_project(
        &self,
        id: Id,
        name: &str,
        expected: Option<u64>,
        at_us: i64,
    ) -> Result<Decision, Undecided> {
        let project = self.open_project(id)?;
        check_version(expected, project.version, || {
            Subject::Project(project.clone())
        })?;
        let (old, version) = (project.name.clone(), project.version + 1);
        let change = Change::ProjectRenamed {
            version,
            old,
            new: name.to_owned(),
        };
        let change = (project.name != name).then_some(change);
        Ok(self.project_decision(project, change, at_us))
    }

    fn archive_project(
        &self,
        id: Id,
        archived: bool,
        expected: Option<u64>,
        at_us: i64,
    ) -> Result<Decision, Undecided> {
        let project = self.project(id).ok_or(Refusal::NotFound {
            what: "project",
            id,
        })?;
        check_version(expected, project.version, || {
            Subject::Project(project.clone())
        })?;
        let change = Change::ProjectArchived {
            version: project.version + 1,
            archived,
        };
        let change = (project.archived != archived).then_some(change);
        Ok(self.project_decision(project, change, at_us))
    }

    fn create_item(
        &self,
        id: Id,
        lane: Lane,
        kind: Kind,
        fields: &Fields,
        place: Place,
        at_us: i64,
    ) -> Result<Decision, Undecided> {
        // Before the parent: a repeated creation is told that it exists, whatever happened since.
        self.check_unused(id)?;
        self.open_project(lane.project)?;
        check_parent(kind, self.parent(lane)?.map(|parent| parent.kind))?;
        check_depth(self.depth(lane), 1)?;
        let (mut changes, rank) = self.make_place(lane, place, None)?;
        let item = WorkItem {
            id,
            project: lane.project,
            parent: lane.parent,
            kind,
            fields: fields.clone(),
            rank,
            version: 1,
            created_at_us: at_us,
            updated_at_us: at_us,
        };
        changes.push(Change::ItemCreated(item.clone()));
        Ok(Decision {
            project: lane.project,
            changes,
            subject: Subject::Item(item),
        })
    }

    fn update_item(
        &self,
        id: Id,
        patch: &Patch,
        expected: Option<u64>,
        at_us: i64,
    ) -> Result<Decision, Undecided> {
        let item = self.open_item(id, expected)?;
        let change = item
            .fields
            .diff(patch)
            .map(|(old, new)| Change::ItemUpdated {
                id,
                version: item.version + 1,
                old,
                new,
            });
        Ok(self.item_decision(item, change.into_iter().collect(), at_us))
    }

    fn move_item(
        &self,
        id: Id,
        parent: Option<Option<Id>>,
        place: Place,
        expected: Option<u64>,
        at_us: i64,
    ) -> Result<Decision, Undecided> {
        let item = self.open_item(id, expected)?;
        let lane = Lane {
            project: item.project,
            parent: parent.unwrap_or(item.parent),
        };
        if lane.parent != item.parent {
            self.check_new_parent(item, lane)?;
        }
        if place.neighbour() == Some(id) {
            let wanted = "an item cannot stand next to itself";
            return Err(Refusal::invalid("place", "itself", wanted).into());
        }
        let (mut changes, new_rank) = self.make_place(lane, place, Some(item))?;
        if lane != item.lane() || new_rank != item.rank {
            // Making room may have moved this very item within its lane.
            let old_rank = reranked(&changes, id).unwrap_or(item.rank);
            changes.push(Change::ItemMoved {
                id,
                version: item.version + 1,
                old_parent: item.parent,
                new_parent: lane.parent,
                old_rank,
                new_rank,
            });
        }
        Ok(self.item_decision(item, changes, at_us))
    }

    fn delete_item(&self, id: Id, expected: Option<u64>) -> Result<Decision, Undecided> {
        let item = self.open_item(id, expected)?;
        let ids = self.tree(item);
        Ok(Decision {
            project: item.project,
            changes: vec![Change::ItemsDeleted { ids: ids.clone() }],
            subject: Subject::Deleted(ids),
        })
    }

    fn check_new_parent(&self, item: &WorkItem, lane: Lane) -> Result<(), Refusal> {
        check_parent(item.kind, self.parent(lane)?.map(|parent| parent.kind))?;
        if self
            .ancestors(lane.parent)
            .any(|ancestor| ancestor.id == item.id)
        {
            return Err(Refusal::Hierarchy("an item cannot stand below itself"));
        }
        check_depth(self.depth(lane), self.height(item))
    }

    fn check_unused(&self, id: Id) -> Result<(), Refusal> {
        if !self.is_used(id) {
            return Ok(());
        }
        let item = self.item(id).cloned().map(Subject::Item);
        let current = item.or_else(|| self.project(id).cloned().map(Subject::Project));
        Err(Refusal::AlreadyExists(current.map(Box::new)))
    }

    fn open_project(&self, id: Id) -> Result<&Project, Refusal> {
        let project = self.project(id).ok_or(Refusal::NotFound {
            what: "project",
            id,
        })?;
        if project.archived {
            Err(Refusal::Archived)
        } else {
            Ok(project)
        }
    }

    fn open_item(&self, id: Id, expected: Option<u64>) -> Result<&WorkItem, Refusal> {
        let item = self
            .item(id)
            .ok_or(Refusal::NotFound { what: "item", id })?;
        self.open_project(item.project)?;
        check_version(expected, item.version, || Subject::Item(item.clone()))?;
        Ok(item)
    }

    fn parent(&self, lane: Lane) -> Result<Option<&WorkItem>, Refusal> {
        let Some(id) = lane.parent else {
            return Ok(None);
        };
        let parent = self
            .item(id)
            .ok_or(Refusal::NotFound { what: "parent", id })?;
        if parent.project != lane.project {
            return Err(Refusal::Hierarchy("the parent belongs to another project"));
        }
        Ok(Some(parent))
    }

    fn ancestors(&self, id: Option<Id>) -> impl Iterator<Item = &WorkItem> {
        let first = id.and_then(|id| self.item(id));
        std::iter::successors(first, |item| item.parent.and_then(|id| self.item(id)))
    }

    /// How many levels are above the lane.
    fn depth(&self, lane: Lane) -> usize {
        self.ancestors(lane.parent).count()
    }

    fn height(&self, item: &WorkItem) -> usize {
        let top = self.depth(item.lane());
        let below = self.tree(item).into_iter().filter_map(|id| self.item(id));
        below
            .map(|item| self.depth(item.lane()) + 1 - top)
            .max()
            .unwrap_or(1)
    }

    fn project_decision(&self, project: &Project, change: Option<Change>, at: i64) -> Decision {
        let mut after = Self::default();
        after.insert_project(project.clone());
        let changes: Vec<_> = change.into_iter().collect();
        for change in &changes {
            after.apply(project.id, at, change);
        }
        let project = after.projects().next().unwrap_or(project).clone();
        Decision {
            project: project.id,
            changes,
            subject: Subject::Project(project),
        }
    }

    fn item_decision(&self, item: &WorkItem, changes: Vec<Change>, at_us: i64) -> Decision {
        let mut after = Self::default();
        after.insert_item(item.clone());
        for change in &changes {
            after.apply(item.project, at_us, change);
        }
        let item = after.item(item.id).unwrap_or(item).clone();
        Decision {
            project: item.project,
            changes,
            subject: Subject::Item(item),
        }
    }
}

fn check_version(
    expected: Option<u64>,
    actual: u64,
    current: impl FnOnce() -> Subject,
) -> Result<(), Refusal> {
    match expected {
        Some(expected) if expected != actual => Err(Refusal::Conflict {
            expected,
            actual,
            current: Box::new(current()),
        }),
        _ => Ok(()),
    }
}
