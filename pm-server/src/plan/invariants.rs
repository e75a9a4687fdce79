//! What holds for every file, however strange: asked by the property tests, the fuzz target and the
//! replay of its corpus.

use std::collections::HashSet;

use super::{
    Kind, MAX_DEPTH, MAX_DESCRIPTION_BYTES, MAX_LABEL_CHARS, MAX_LABELS, MAX_TITLE_CHARS, Plan,
    PlanError, PlanItem, Source, read,
};

/// Reads a file and says which promise was broken, if one was.
///
/// # Errors
///
/// The broken promise, in words.
pub fn check(bytes: &[u8], file_name: &str) -> Result<(), String> {
    let result = read(bytes, file_name);
    ensure(result == read(bytes, file_name), || {
        "reading twice gives two answers".to_owned()
    })?;
    match result {
        Ok(plan) => {
            let lines = 1 + bytes.iter().filter(|b| matches!(b, b'\n' | b'\r')).count();
            check_plan(&plan, lines)?;
            check_ids(&plan, file_name)
        }
        Err(PlanError::NeverClosed { line, .. }) => {
            ensure(line >= 1, || "an error is on no line".to_owned())
        }
        Err(_) => Ok(()),
    }
}

fn check_plan(plan: &Plan, lines: usize) -> Result<(), String> {
    check_title("the plan", &plan.title)?;
    ensure(
        plan.count(Kind::Epic) > 0 && plan.count(Kind::Story) > 0,
        || "a plan without an epic or a story".to_owned(),
    )?;
    let mut depths = Vec::with_capacity(plan.items.len());
    for (index, item) in plan.items.iter().enumerate() {
        let name = format!("item {index} from line {}", item.line);
        let depth = check_place(&name, item, &plan.items[..index], &depths)?;
        depths.push(depth);
        check_text(&name, item)?;
        ensure((1..=lines).contains(&item.line), || {
            format!("{name} is not in the file")
        })?;
    }
    ensure(plan.items.is_sorted_by_key(|item| item.line), || {
        "items out of order".to_owned()
    })?;
    ensure(
        plan.skipped.is_sorted_by_key(|skipped| skipped.line),
        || "skipped lines out of order".to_owned(),
    )?;
    ensure(
        plan.skipped
            .iter()
            .all(|skipped| (1..=lines).contains(&skipped.line)),
        || "a skipped line is not in the file".to_owned(),
    )
}

/// Answers how deep the item is.
fn check_place(
    name: &str,
    item: &PlanItem,
    before: &[PlanItem],
    depths: &[usize],
) -> Result<usize, String> {
    let Some(parent) = item.parent else {
        ensure(item.kind == Kind::Epic, || {
            format!("{name} has no parent and is no epic")
        })?;
        return Ok(1);
    };
    let (Some(above), Some(depth)) = (before.get(parent), depths.get(parent)) else {
        return Err(format!("{name} comes before its parent"));
    };
    let fits = match item.kind {
        Kind::Epic => false,
        Kind::Story => above.kind == Kind::Epic,
        Kind::Task => above.kind != Kind::Epic,
    };
    ensure(fits, || {
        format!("{name} is a {:?} in a {:?}", item.kind, above.kind)
    })?;
    ensure(*depth < MAX_DEPTH, || format!("{name} is too deep"))?;
    Ok(depth + 1)
}

fn check_text(name: &str, item: &PlanItem) -> Result<(), String> {
    check_title(name, &item.title)?;
    ensure(item.description.len() <= MAX_DESCRIPTION_BYTES, || {
        format!("{name} has too long a description")
    })?;
    let allowed = |c: char| !c.is_control() || c == '\n' || c == '\t';
    ensure(item.description.chars().all(allowed), || {
        format!("{name} has a control character in its description")
    })?;
    let distinct: HashSet<_> = item.labels.iter().collect();
    ensure(
        distinct.len() == item.labels.len() && distinct.len() <= MAX_LABELS,
        || format!("{name} has too many labels or one twice"),
    )?;
    item.labels.iter().try_for_each(|label| {
        check_line(label, MAX_LABEL_CHARS)
            .map_err(|fault| format!("{name} has a label that {fault}"))
    })
}

fn check_title(name: &str, title: &str) -> Result<(), String> {
    check_line(title, MAX_TITLE_CHARS).map_err(|fault| format!("{name} has a title that {fault}"))
}

fn check_line(line: &str, max: usize) -> Result<(), &'static str> {
    if line.is_empty() || line.chars().count() > max {
        Err("is empty or too long")
    } else if line.trim() != line {
        Err("has space around it")
    } else if line.chars().any(char::is_control) {
        Err("has a control character")
    } else {
        Ok(())
    }
}

fn check_ids(plan: &Plan, file_name: &str) -> Result<(), String> {
    let source = Source::new("demo", file_name);
    let mut ids = HashSet::from([source.project()]);
    for entity in plan.items.iter().map(|item| source.entity(item)) {
        ensure(ids.insert(entity), || {
            format!("{entity} is the id of two things")
        })?;
    }
    for creation in ids
        .clone()
        .into_iter()
        .map(|entity| source.creation(entity))
    {
        ensure(ids.insert(creation), || {
            format!("{creation} is the id of two things")
        })?;
    }
    Ok(())
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
