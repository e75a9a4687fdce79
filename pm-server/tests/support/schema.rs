//! Domain operations as a client sends them.

use pm_server::{
    domain::{Mutation, Operation, Place},
    r#gen::{self as pb, mutate::Operation as Wanted},
    wire::encode,
};

pub fn mutate(mutation: &Mutation) -> pb::Mutate {
    let operation = Some(operation(&mutation.operation));
    pb::Mutate {
        mutation_id: encode::id(mutation.id),
        operation,
    }
}

fn operation(operation: &Operation) -> Wanted {
    match operation {
        Operation::CreateProject { id, name } => Wanted::CreateProject(pb::CreateProject {
            id: encode::id(*id),
            name: name.clone(),
        }),
        Operation::RenameProject { id, name, expected } => {
            Wanted::RenameProject(pb::RenameProject {
                id: encode::id(*id),
                name: name.clone(),
                expected_version: *expected,
            })
        }
        Operation::ArchiveProject {
            id,
            archived,
            expected,
        } => Wanted::ArchiveProject(pb::ArchiveProject {
            id: encode::id(*id),
            archived: *archived,
            expected_version: *expected,
        }),
        Operation::CreateItem {
            id,
            project,
            parent,
            kind,
            fields,
            place,
        } => Wanted::CreateItem(pb::CreateItem {
            id: encode::id(*id),
            project_id: encode::id(*project),
            parent_id: encode::optional_id(*parent),
            kind: encode::kind(*kind) as i32,
            fields: Some(encode::fields(fields)),
            place: Some(self::place(*place)),
        }),
        Operation::UpdateItem {
            id,
            patch,
            expected,
        } => {
            let (mask, fields) = encode::patch(patch);
            Wanted::UpdateItem(pb::UpdateItem {
                id: encode::id(*id),
                expected_version: *expected,
                mask,
                fields: Some(fields),
            })
        }
        Operation::MoveItem {
            id,
            parent,
            place,
            expected,
        } => Wanted::MoveItem(pb::MoveItem {
            id: encode::id(*id),
            expected_version: *expected,
            parent_id: parent.map(encode::optional_id),
            place: Some(self::place(*place)),
        }),
        Operation::DeleteItem { id, expected } => Wanted::DeleteItem(pb::DeleteItem {
            id: encode::id(*id),
            expected_version: *expected,
        }),
    }
}

fn place(place: Place) -> pb::Place {
    let at = match place {
        Place::First => Some(pb::place::At::First(true)),
        Place::Last => None,
        Place::After(id) => Some(pb::place::At::After(encode::id(id))),
        Place::Before(id) => Some(pb::place::At::Before(encode::id(id))),
    };
    pb::Place { at }
}
