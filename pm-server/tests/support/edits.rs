//! Random mutations, seeded: sensible ones mostly, and every kind of mistake.

use std::sync::Arc;

use fastrand::Rng;
use pm_server::domain::{Fields, Id, Kind, Mutation, Operation, Patch, Place, Status, WorkItem};

/// Makes mutations about a small set of projects and items, so that they get in each other's way.
#[derive(Debug)]
pub struct Edits {
    rng: Rng,
    projects: Vec<Id>,
    items: Vec<Item>,
    past: Vec<Mutation>,
    /// Whether somebody shows it what there is.
    is_shown: bool,
    at_us: i64,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    id: Id,
    project: Id,
    kind: Kind,
}

impl Edits {
    pub fn new(seed: u64) -> Self {
        let rng = Rng::with_seed(seed);
        Self {
            rng,
            projects: vec![],
            items: vec![],
            past: vec![],
            is_shown: false,
            at_us: 1_000_000,
        }
    }

    pub fn id(&mut self) -> Id {
        Id::from_bytes(self.rng.u128(1..).to_be_bytes())
    }

    /// Looks at what there is, so that more of what follows makes sense.
    pub fn look_at(&mut self, items: &[WorkItem]) {
        self.is_shown = true;
        let item = |item: &WorkItem| Item {
            id: item.id,
            project: item.project,
            kind: item.kind,
        };
        self.items = items.iter().map(item).collect();
        // The order of their creation, which their ids do not have.
        let created = items.iter().map(|item| (item.created_at_us, item.id));
        let mut order: Vec<_> = created.zip(self.items.drain(..)).collect();
        order.sort_by_key(|(created, _)| *created);
        self.items.extend(order.into_iter().map(|(_, item)| item));
        self.items.truncate(300);
    }

    /// A group of 1 to `most` mutations.
    pub fn group(&mut self, most: usize) -> Vec<Mutation> {
        let size = self.rng.usize(1..=most);
        (0..size).map(|_| self.mutation()).collect()
    }

    pub fn mutation(&mut self) -> Mutation {
        self.at_us += self.rng.i64(0..1_000_000);
        if !self.past.is_empty() && self.rng.u8(..) < 12 {
            return self.repetition();
        }
        let operation = self.operation();
        let mutation = mutation(self.id(), self.at_us, operation);
        if self.past.len() > 200 {
            self.past.swap_remove(self.rng.usize(..200));
        }
        self.past.push(mutation.clone());
        mutation
    }

    /// The same again, or something else under the same id.
    fn repetition(&mut self) -> Mutation {
        let past = self.past[self.rng.usize(..self.past.len())].clone();
        if self.rng.u8(..) < 40 {
            let operation = self.operation();
            return mutation(past.id, self.at_us, operation);
        }
        past
    }

    fn operation(&mut self) -> Operation {
        if self.projects.len() < 2 || self.rng.u16(..) < 300 {
            return self.create_project();
        }
        match self.rng.u8(..100) {
            0..=1 => Operation::RenameProject {
                id: self.project(),
                name: self.text("project"),
                expected: self.version(),
            },
            2..=5 => Operation::ArchiveProject {
                id: self.project(),
                archived: self.rng.u8(..) < 12,
                expected: self.version(),
            },
            6..=45 => self.create_item(),
            46..=67 => Operation::UpdateItem {
                id: self.item(),
                patch: self.patch(),
                expected: self.version(),
            },
            68..=96 => self.move_item(),
            _ => Operation::DeleteItem {
                id: self.item(),
                expected: self.version(),
            },
        }
    }

    fn create_project(&mut self) -> Operation {
        let id = self.id();
        if self.projects.len() < 4 {
            self.projects.push(id);
        }
        let name = if self.rng.u8(..) < 5 {
            " ".to_owned()
        } else {
            self.text("project")
        };
        Operation::CreateProject { id, name }
    }

    fn create_item(&mut self) -> Operation {
        let kind = *self.pick(&[Kind::Epic, Kind::Story, Kind::Story, Kind::Task, Kind::Task]);
        let parent = self.parent(kind);
        let project = parent.map_or_else(|| self.project(), |parent| parent.project);
        let id = if self.rng.u8(..) < 8 {
            self.item()
        } else {
            self.id()
        };
        let item = Item { id, project, kind };
        if self.is_shown && self.rng.u8(..) < 150 {
            // It will be seen if it comes about.
        } else if self.items.len() < 300 {
            self.items.push(item);
        } else {
            let at = self.rng.usize(..self.items.len());
            self.items[at] = item;
        }
        Operation::CreateItem {
            id,
            project,
            parent: parent.map(|parent| parent.id),
            kind,
            fields: self.fields(),
            place: self.place(),
        }
    }

    fn move_item(&mut self) -> Operation {
        let item = self.known_item();
        let kind = item.map_or(Kind::Story, |item| item.kind);
        let parent = match self.rng.u8(..3) {
            0 => None,
            1 if kind != Kind::Task => Some(None),
            _ => Some(self.parent(kind).map(|parent| parent.id)),
        };
        let id = item.map_or_else(|| self.id(), |item| item.id);
        Operation::MoveItem {
            id,
            parent,
            place: self.place(),
            expected: self.version(),
        }
    }

    /// Something that an item of this kind may stand below, mostly.
    fn parent(&mut self, kind: Kind) -> Option<Item> {
        if self.rng.u8(..) < 20 {
            return self.known_item();
        }
        let wanted: &[Kind] = match kind {
            Kind::Epic => return None,
            Kind::Story if self.rng.bool() => return None,
            Kind::Story => &[Kind::Epic],
            Kind::Task => &[Kind::Story, Kind::Task],
        };
        let suitable: Vec<_> = self
            .items
            .iter()
            .filter(|item| wanted.contains(&item.kind))
            .copied()
            .collect();
        let start = if self.rng.bool() {
            suitable.len().saturating_sub(8)
        } else {
            0
        };
        (!suitable.is_empty()).then(|| suitable[self.rng.usize(start..suitable.len())])
    }

    fn fields(&mut self) -> Fields {
        let title = if self.rng.u8(..) < 4 {
            "\u{1b}[2J".to_owned()
        } else {
            self.text("item")
        };
        Fields {
            status: self.status(),
            title,
            description: self.text("about"),
            labels: self.labels(),
            assignee: if self.rng.bool() {
                String::new()
            } else {
                self.text("user")
            },
        }
    }

    fn patch(&mut self) -> Patch {
        let fields = self.fields();
        let mut patch = Patch::from(fields);
        let keep = self.rng.u8(..);
        if keep & 1 == 0 {
            patch.status = None;
        }
        if keep & 2 == 0 {
            patch.title = None;
        }
        if keep & 4 == 0 {
            patch.description = None;
        }
        if keep & 8 == 0 {
            patch.labels = None;
        }
        if keep & 16 == 0 {
            patch.assignee = None;
        }
        patch
    }

    fn labels(&mut self) -> Vec<String> {
        let count = self.rng.usize(..3);
        (0..count)
            .map(|at| format!("label {at} \"{}\"", self.rng.u8(..3)))
            .collect()
    }

    fn status(&mut self) -> Status {
        *self.pick(&[
            Status::Todo,
            Status::InProgress,
            Status::Done,
            Status::Cancelled,
        ])
    }

    fn place(&mut self) -> Place {
        match self.rng.u8(..10) {
            0..=5 => Place::Last,
            6 => Place::First,
            7..=8 => Place::After(self.item()),
            _ => Place::Before(self.item()),
        }
    }

    fn version(&mut self) -> Option<u64> {
        (self.rng.u8(..) < 20).then(|| self.rng.u64(1..4))
    }

    fn project(&mut self) -> Id {
        let projects = self.projects.clone();
        *self.pick(&projects)
    }

    fn item(&mut self) -> Id {
        if self.rng.u8(..) < 3 {
            return self.id();
        }
        match self.known_item() {
            Some(item) => item.id,
            None => self.id(),
        }
    }

    fn known_item(&mut self) -> Option<Item> {
        if self.items.is_empty() {
            return None;
        }
        // The newest ones more often: things happen where things happened.
        let recent = self.items.len().min(24);
        let start = if self.rng.bool() {
            self.items.len() - recent
        } else {
            0
        };
        Some(self.items[self.rng.usize(start..self.items.len())])
    }

    fn text(&mut self, what: &str) -> String {
        format!("{what} {} ✓ \"{}\"\\", self.rng.u8(..4), self.rng.u8(..4))
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.rng.usize(..of.len())]
    }
}

/// A mutation by nobody in particular.
pub fn mutation(id: Id, at_us: i64, operation: Operation) -> Mutation {
    Mutation {
        id,
        digest: digest(&operation),
        actor: Arc::from("tester"),
        at_us,
        operation,
    }
}

fn digest(operation: &Operation) -> [u8; 16] {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    format!("{operation:?}").hash(&mut hasher);
    let mut digest = [0; 16];
    digest[..8].copy_from_slice(&hasher.finish().to_be_bytes());
    digest
}
