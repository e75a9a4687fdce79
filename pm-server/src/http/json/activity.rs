use prost::Message;
use serde::Serialize;
use serde_json::{Value, json};

use super::{item, time::Time};
use crate::{
    domain::{Change, Event, Id, Patch, WorkItem},
    r#gen as pb,
    store::{Activity, Entry, StoreError},
    wire,
};

/// A work item and what happened to it, the newest first.
#[derive(Debug, Serialize)]
pub(in crate::http) struct ItemActivity {
    item: item::Item,
    activity: Vec<Step>,
}

/// One thing that happened.
#[derive(Debug, Serialize)]
struct Step {
    rev: u64,
    at: Time,
    actor: String,
    action: &'static str,
    changes: Vec<FieldChange>,
}

/// What became of one field. The old description is not kept: the step that set it has it.
#[derive(Debug, PartialEq, Serialize)]
struct FieldChange {
    field: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Value>,
    new: Value,
}

impl ItemActivity {
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if an event of the log is not one.
    pub(in crate::http) fn of(activity: &Activity) -> Result<Self, StoreError> {
        Ok(Self {
            item: activity.item.clone().into(),
            activity: activity
                .entries
                .iter()
                .map(step)
                .collect::<Result<_, _>>()?,
        })
    }
}

fn step(entry: &Entry) -> Result<Step, StoreError> {
    let event = pb::Event::decode(entry.event.clone()).ok();
    let event = event.and_then(|event| wire::event::event(&event));
    let event = event.ok_or_else(|| {
        StoreError::corrupt(format!("what is logged as rev {} is no event", entry.rev))
    })?;
    let (action, changes) = describe(&event);
    Ok(Step {
        rev: event.rev,
        at: Time(event.at_us),
        actor: event.actor.as_ref().to_owned(),
        action,
        changes,
    })
}

fn describe(event: &Event) -> (&'static str, Vec<FieldChange>) {
    match &event.change {
        Change::ItemCreated(item) => ("created", created(item)),
        Change::ItemUpdated { old, new, .. } => ("updated", updated(old, new)),
        Change::ItemMoved {
            old_parent,
            new_parent,
            old_rank,
            new_rank,
            ..
        } => {
            let mut changes = Vec::new();
            if old_parent != new_parent {
                changes.push(changed("parent_id", id(*old_parent), id(*new_parent)));
            }
            if old_rank != new_rank {
                // As text: a rank needs more digits than a JSON number is sure to keep.
                let [old, new] = [old_rank, new_rank].map(|rank| json!(rank.to_string()));
                changes.push(changed("rank", old, new));
            }
            ("moved", changes)
        }
        Change::ItemsDeleted { .. } => ("deleted", Vec::new()),
        Change::ProjectCreated(_)
        | Change::ProjectRenamed { .. }
        | Change::ProjectArchived { .. }
        | Change::Rebalanced { .. } => ("other", Vec::new()),
    }
}

fn created(item: &WorkItem) -> Vec<FieldChange> {
    let fields = Patch::from(item.fields.clone());
    let mut changes = vec![
        changed("kind", Value::Null, json!(item::kind(item.kind))),
        changed("parent_id", Value::Null, id(item.parent)),
    ];
    changes.extend(values(&fields).map(|(field, new)| changed(field, Value::Null, new)));
    // What was left empty was not set.
    changes.retain(|change| !is_empty(&change.new));
    changes
}

fn updated(old: &Patch, new: &Patch) -> Vec<FieldChange> {
    let old: Vec<_> = values(old).collect();
    let old = |field| {
        let value = old.iter().find(|(named, _)| *named == field);
        value.map(|(_, value)| value.clone())
    };
    values(new)
        .map(|(field, new)| FieldChange {
            field,
            old: old(field),
            new,
        })
        .collect()
}

/// The fields that a patch names, and their values.
fn values(patch: &Patch) -> impl Iterator<Item = (&'static str, Value)> {
    let status = patch.status.map(|status| json!(item::status(status)));
    let assignee = patch
        .assignee
        .as_ref()
        .map(|assignee| match assignee.as_str() {
            "" => Value::Null,
            somebody => json!(somebody),
        });
    [
        ("status", status),
        ("title", patch.title.as_ref().map(|title| json!(title))),
        (
            "description",
            patch.description.as_ref().map(|text| json!(text)),
        ),
        ("labels", patch.labels.as_ref().map(|labels| json!(labels))),
        ("assignee", assignee),
    ]
    .into_iter()
    .filter_map(|(field, value)| Some((field, value?)))
}

fn changed(field: &'static str, old: Value, new: Value) -> FieldChange {
    FieldChange {
        field,
        old: Some(old),
        new,
    }
}

fn id(id: Option<Id>) -> Value {
    id.map_or(Value::Null, |id| json!(id.to_string()))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}
