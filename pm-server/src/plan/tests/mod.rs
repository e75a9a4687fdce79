//! One test per rule of the module's documentation, and what holds for every file.

mod content;
mod ids;
mod passed_over;
mod properties;
mod structure;

use super::*;

fn plan(text: &str) -> Plan {
    read(text.as_bytes(), "folder/some-plan.md").unwrap()
}

fn title(text: &str) -> String {
    plan(text).title
}

/// The tree of a plan, two spaces a level: kind, box, title, labels.
fn tree(text: &str) -> String {
    let plan = plan(text);
    let mut depths: Vec<usize> = Vec::new();
    let mut tree = String::new();
    for item in &plan.items {
        let depth = item.parent.map_or(0, |parent| depths[parent] + 1);
        depths.push(depth);
        let kind = match item.kind {
            Kind::Epic => 'E',
            Kind::Story => 'S',
            Kind::Task => 'T',
        };
        let mark = if item.status == Status::Done {
            "x"
        } else {
            " "
        };
        tree.push_str(&format!(
            "{}{kind}{mark} {}",
            "  ".repeat(depth),
            item.title
        ));
        item.labels
            .iter()
            .for_each(|label| tree.push_str(&format!(" #{label}")));
        tree.push('\n');
    }
    tree
}

/// The descriptions of all items that have one.
fn described(text: &str) -> Vec<(String, String)> {
    let items = plan(text).items.into_iter();
    items
        .filter(|i| !i.description.is_empty())
        .map(|i| (i.title, i.description))
        .collect()
}

fn skipped(text: &str) -> Vec<(usize, What)> {
    plan(text)
        .skipped
        .iter()
        .map(|skipped| (skipped.line, skipped.what))
        .collect()
}

/// The one story of a plan that has one.
fn story(text: &str) -> PlanItem {
    plan(text).items.remove(1)
}
