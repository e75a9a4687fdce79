//! From frames to domain values.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use crate::{
    domain::{Fields, Id, Kind, Mutation, Operation, Patch, Place, Refusal, Status, Violation},
    r#gen::{self as pb, mutate::Operation as PbOperation, place::At},
};

/// Reads a mutation that `actor` sent at `at_us`.
///
/// # Errors
///
/// [`Refusal::Invalid`] with every field that says something impossible. What depends on the state
/// of the backlog is not looked at here.
pub fn mutation(frame: &pb::Mutate, actor: Arc<str>, at_us: i64) -> Result<Mutation, Refusal> {
    let mut reader = Reader::default();
    let id = reader.id("mutation_id", &frame.mutation_id);
    let operation = match &frame.operation {
        Some(wanted) => reader
            .operation(wanted)
            .map(|operation| (wanted, operation)),
        None => reader.wrong("operation", "missing", "say what is to change"),
    };
    match (id, operation) {
        (Some(id), Some((wanted, operation))) if reader.violations.is_empty() => {
            // Here and not only where it is decided: what is too large does not wait in a queue.
            operation.check()?;
            let digest = operation_digest(wanted);
            Ok(Mutation {
                id,
                digest,
                actor,
                at_us,
                operation,
            })
        }
        _ => Err(Refusal::Invalid(reader.violations)),
    }
}

/// A scope from its bytes: empty is the whole tenant.
///
/// # Errors
///
/// [`Refusal::Invalid`] if it is neither empty nor an id.
pub fn scope(project_id: &[u8]) -> Result<Option<Id>, Refusal> {
    let mut reader = Reader::default();
    match reader.optional_id("project_id", project_id) {
        Some(scope) => Ok(scope),
        None => Err(Refusal::Invalid(reader.violations)),
    }
}

/// The kind with this number.
#[must_use]
pub fn kind(number: i32) -> Option<Kind> {
    match pb::Kind::try_from(number) {
        Ok(pb::Kind::Epic) => Some(Kind::Epic),
        Ok(pb::Kind::Story) => Some(Kind::Story),
        Ok(pb::Kind::Task) => Some(Kind::Task),
        Ok(pb::Kind::Unspecified) | Err(_) => None,
    }
}

/// The status with this number.
#[must_use]
pub fn status(number: i32) -> Option<Status> {
    match pb::Status::try_from(number) {
        Ok(pb::Status::Todo) => Some(Status::Todo),
        Ok(pb::Status::InProgress) => Some(Status::InProgress),
        Ok(pb::Status::Done) => Some(Status::Done),
        Ok(pb::Status::Cancelled) => Some(Status::Cancelled),
        Ok(pb::Status::Unspecified) | Err(_) => None,
    }
}

/// The members of `fields` that `mask` names; `None` if it names something else.
#[must_use]
pub fn patch(mask: &[i32], fields: &pb::Fields) -> Option<Patch> {
    let mut patch = Patch::default();
    for field in mask {
        match pb::Field::try_from(*field) {
            Ok(pb::Field::Status) => patch.status = Some(status(fields.status)?),
            Ok(pb::Field::Title) => patch.title = Some(fields.title.clone()),
            Ok(pb::Field::Description) => patch.description = Some(fields.description.clone()),
            Ok(pb::Field::Labels) => patch.labels = Some(fields.labels.clone()),
            Ok(pb::Field::Assignee) => patch.assignee = Some(fields.assignee.clone()),
            Ok(pb::Field::Unspecified) | Err(_) => return None,
        }
    }
    Some(patch)
}

/// Of the operation as the schema knows it: unknown fields are not part of what is asked for. It is
/// stored, so what goes into it stays as it is.
fn operation_digest(operation: &PbOperation) -> [u8; 16] {
    let mut bytes = Vec::with_capacity(operation.encoded_len());
    operation.encode(&mut bytes);
    let hash = digest(&SHA256, &bytes);
    let mut short = [0; 16];
    short.copy_from_slice(&hash.as_ref()[..16]);
    short
}

/// Reads one frame to its end, so that a client is told everything that is wrong at once.
#[derive(Default)]
struct Reader {
    violations: Vec<Violation>,
}

impl Reader {
    fn operation(&mut self, operation: &PbOperation) -> Option<Operation> {
        match operation {
            PbOperation::CreateProject(wanted) => Some(Operation::CreateProject {
                id: self.id("id", &wanted.id)?,
                name: wanted.name.clone(),
            }),
            PbOperation::RenameProject(wanted) => Some(Operation::RenameProject {
                id: self.id("id", &wanted.id)?,
                name: wanted.name.clone(),
                expected: wanted.expected_version,
            }),
            PbOperation::ArchiveProject(wanted) => Some(Operation::ArchiveProject {
                id: self.id("id", &wanted.id)?,
                archived: wanted.archived,
                expected: wanted.expected_version,
            }),
            PbOperation::CreateItem(wanted) => self.create_item(wanted),
            PbOperation::UpdateItem(wanted) => self.update_item(wanted),
            PbOperation::MoveItem(wanted) => {
                let id = self.id("id", &wanted.id);
                let parent = match &wanted.parent_id {
                    None => Some(None),
                    Some(parent) => self.optional_id("parent_id", parent).map(Some),
                };
                let place = self.place(wanted.place.as_ref());
                let expected = wanted.expected_version;
                Some(Operation::MoveItem {
                    id: id?,
                    parent: parent?,
                    place: place?,
                    expected,
                })
            }
            PbOperation::DeleteItem(wanted) => Some(Operation::DeleteItem {
                id: self.id("id", &wanted.id)?,
                expected: wanted.expected_version,
            }),
        }
    }

    fn create_item(&mut self, wanted: &pb::CreateItem) -> Option<Operation> {
        let id = self.id("id", &wanted.id);
        let project = self.id("project_id", &wanted.project_id);
        let parent = self.optional_id("parent_id", &wanted.parent_id);
        let kind = kind(wanted.kind)
            .or_else(|| self.wrong("kind", "unknown", "it must be epic, story or task"));
        let place = self.place(wanted.place.as_ref());
        let mut fields = wanted.fields.clone().unwrap_or_default();
        if fields.status == pb::Status::Unspecified as i32 {
            fields.status = pb::Status::Todo as i32;
        }
        let status = self.status(fields.status);
        let pb::Fields {
            status: _,
            title,
            description,
            labels,
            assignee,
        } = fields;
        Some(Operation::CreateItem {
            id: id?,
            project: project?,
            parent: parent?,
            kind: kind?,
            fields: Fields {
                status: status?,
                title,
                description,
                labels,
                assignee,
            },
            place: place?,
        })
    }

    fn update_item(&mut self, wanted: &pb::UpdateItem) -> Option<Operation> {
        let id = self.id("id", &wanted.id);
        if wanted.mask.is_empty() {
            return self.wrong("mask", "missing", "name at least one field to update");
        }
        let fields = wanted.fields.clone().unwrap_or_default();
        if wanted.mask.contains(&(pb::Field::Status as i32)) {
            self.status(fields.status)?;
        }
        let patch = patch(&wanted.mask, &fields)
            .or_else(|| self.wrong("mask", "unknown", "it names a field that does not exist"));
        Some(Operation::UpdateItem {
            id: id?,
            patch: patch?,
            expected: wanted.expected_version,
        })
    }

    fn status(&mut self, number: i32) -> Option<Status> {
        status(number).or_else(|| {
            let wanted = "it must be to do, in progress, done or cancelled";
            self.wrong("fields.status", "unknown", wanted)
        })
    }

    fn place(&mut self, place: Option<&pb::Place>) -> Option<Place> {
        match place.and_then(|place| place.at.as_ref()) {
            None | Some(At::First(false)) => Some(Place::Last),
            Some(At::First(true)) => Some(Place::First),
            Some(At::After(id)) => self.id("place.after", id).map(Place::After),
            Some(At::Before(id)) => self.id("place.before", id).map(Place::Before),
        }
    }

    fn id(&mut self, path: &'static str, bytes: &[u8]) -> Option<Id> {
        Id::from_slice(bytes)
            .or_else(|| self.wrong(path, "not_an_id", "it must be a UUID of 16 bytes, not nil"))
    }

    fn optional_id(&mut self, path: &'static str, bytes: &[u8]) -> Option<Option<Id>> {
        if bytes.is_empty() {
            Some(None)
        } else {
            self.id(path, bytes).map(Some)
        }
    }

    fn wrong<T>(&mut self, path: &'static str, rule: &'static str, text: &str) -> Option<T> {
        self.violations.push(Violation::new(path, rule, text));
        None
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    /// The digests of earlier mutations are in the files of tenants.
    #[test]
    fn the_digest_is_that_of_a_mutation_without_its_id() {
        let (id, name) = (vec![7; 16].into(), "Apollo".to_owned());
        let operation = PbOperation::CreateProject(pb::CreateProject { id, name });
        let whole = pb::Mutate {
            operation: Some(operation.clone()),
            ..pb::Mutate::default()
        };
        let hash = digest(&SHA256, &whole.encode_to_vec());
        assert_eq!(operation_digest(&operation), hash.as_ref()[..16]);
    }
}
