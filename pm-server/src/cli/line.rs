//! One event as one line, in words.

use std::fmt;

use anstyle::{AnsiColor, Style};

use crate::{
    client::Visible,
    domain::{Backlog, Change, Event, Id, Kind, Patch, Status},
};

/// A title is shown up to here.
const MAX_TITLE_CHARS: usize = 100;

const DIM: Style = Style::new().dimmed();
const ADDED: Style = AnsiColor::Green.on_default();
const CHANGED: Style = AnsiColor::Yellow.on_default();
const REMOVED: Style = AnsiColor::Red.on_default();

/// What an event says, in the words of the backlog that it came to.
#[derive(Clone, Debug)]
pub(super) struct Line {
    rev: u64,
    at_us: i64,
    actor: String,
    noun: &'static str,
    verb: &'static str,
    style: Style,
    rest: String,
    colour: bool,
}

impl Line {
    /// `before` is the backlog without the event: what is deleted has its title only there.
    pub(super) fn new(before: &Backlog, event: &Event, colour: bool) -> Self {
        let Words {
            noun,
            verb,
            style,
            rest,
        } = Words::of(before, event);
        Self {
            rev: event.rev,
            at_us: event.at_us,
            actor: Visible(&event.actor).to_string(),
            noun,
            verb,
            style,
            rest,
            colour,
        }
    }

    fn paint(&self, style: Style) -> Style {
        if self.colour { style } else { Style::new() }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dim, style) = (self.paint(DIM), self.paint(self.style));
        let Self {
            rev,
            actor,
            noun,
            verb,
            rest,
            ..
        } = self;
        let time = Time(self.at_us);
        write!(f, "{dim}{rev:>6}  {time}{dim:#}  {actor}  ")?;
        write!(f, "{noun:<7}  {style}{verb:<8}{style:#}  {rest}")
    }
}

/// The time of day, UTC.
struct Time(i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.0.div_euclid(1_000_000).rem_euclid(24 * 60 * 60);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{hour:02}:{minute:02}:{second:02}Z")
    }
}

struct Words {
    noun: &'static str,
    verb: &'static str,
    style: Style,
    rest: String,
}

impl Words {
    fn of(before: &Backlog, event: &Event) -> Self {
        let words = |noun, verb, style, rest| Self {
            noun,
            verb,
            style,
            rest,
        };
        match &event.change {
            Change::ProjectCreated(project) => {
                words("project", "created", ADDED, quoted(&project.name))
            }
            Change::ProjectRenamed { old, new, .. } => {
                let rest = format!("{} → {}", quoted(old), quoted(new));
                words("project", "renamed", CHANGED, rest)
            }
            Change::ProjectArchived { archived, .. } => {
                let verb = if *archived { "archived" } else { "restored" };
                let name = before.project(event.project).map(|project| &*project.name);
                words("project", verb, CHANGED, name.map_or_else(unknown, quoted))
            }
            Change::ItemCreated(item) => {
                let rest = quoted(&item.fields.title);
                words(kind(item.kind), "created", ADDED, rest)
            }
            Change::ItemUpdated { id, old, new, .. } => {
                let (verb, details) = updated(before, *id, old, new);
                let title = new.title.as_deref().map(quoted);
                let title = title.unwrap_or_else(|| title_of(before, *id));
                let rest = format!("{details}  {title}");
                words(kind_of(before, *id), verb, CHANGED, rest)
            }
            Change::ItemMoved {
                id,
                old_parent,
                new_parent,
                old_rank,
                new_rank,
                ..
            } => {
                let to = match new_parent {
                    _ if new_parent != old_parent => below(before, *new_parent),
                    _ if new_rank < old_rank => "up".to_owned(),
                    _ => "down".to_owned(),
                };
                let rest = format!("{to}  {}", title_of(before, *id));
                words(kind_of(before, *id), "moved", CHANGED, rest)
            }
            Change::ItemsDeleted { ids } => {
                let first = ids.first().copied();
                let noun = first.map_or("item", |id| kind_of(before, id));
                let mut rest = first.map_or_else(unknown, |id| title_of(before, id));
                if ids.len() > 1 {
                    rest += &format!(" and {} below it", ids.len() - 1);
                }
                words(noun, "deleted", REMOVED, rest)
            }
            Change::Rebalanced { parent, ranks } => {
                let rest = format!("{} items {}", ranks.len(), below(before, *parent));
                words("order", "respaced", DIM, rest)
            }
        }
    }
}

/// The name of the field if there is one, and what happened to the values.
fn updated(before: &Backlog, id: Id, old: &Patch, new: &Patch) -> (&'static str, String) {
    let mut changes = Vec::new();
    if let Some(to) = new.status {
        let from = old.status.map_or("?", status);
        changes.push(("status", format!("{from} → {}", status(to))));
    }
    if new.title.is_some() {
        let from = old.title.as_deref().map(quoted);
        let from = from.unwrap_or_else(|| title_of(before, id));
        changes.push(("title", format!("was {from}")));
    }
    if let Some(to) = &new.description {
        let what = if to.is_empty() {
            "removed"
        } else {
            "rewritten"
        };
        changes.push(("text", what.to_owned()));
    }
    if let Some(to) = &new.labels {
        let from = old.labels.as_deref().unwrap_or_default();
        changes.push(("labels", labels(from, to)));
    }
    if let Some(to) = &new.assignee {
        let from = assignee(old.assignee.as_deref().unwrap_or_default());
        changes.push(("assignee", format!("{from} → {}", assignee(to))));
    }
    match changes.as_slice() {
        [(field, what)] => (field, what.clone()),
        _ => {
            let all = changes
                .iter()
                .map(|(field, what)| format!("{field} {what}"));
            ("changed", all.collect::<Vec<_>>().join(", "))
        }
    }
}

fn labels(from: &[String], to: &[String]) -> String {
    let gone = from.iter().filter(|label| !to.contains(label));
    let come = to.iter().filter(|label| !from.contains(label));
    let gone = gone.map(|label| format!("-{}", Visible(label)));
    let come = come.map(|label| format!("+{}", Visible(label)));
    let changes: Vec<_> = gone.chain(come).collect();
    if changes.is_empty() {
        "reordered".to_owned()
    } else {
        changes.join(" ")
    }
}

fn assignee(name: &str) -> String {
    if name.is_empty() {
        "nobody".to_owned()
    } else {
        Visible(name).to_string()
    }
}

fn below(backlog: &Backlog, parent: Option<Id>) -> String {
    parent.map_or_else(
        || "at the top".to_owned(),
        |parent| format!("below {}", title_of(backlog, parent)),
    )
}

fn title_of(backlog: &Backlog, id: Id) -> String {
    let item = backlog.item(id);
    item.map_or_else(unknown, |item| quoted(&item.fields.title))
}

fn kind_of(backlog: &Backlog, id: Id) -> &'static str {
    backlog.item(id).map_or("item", |item| kind(item.kind))
}

fn unknown() -> String {
    "(unknown)".to_owned()
}

fn quoted(title: &str) -> String {
    match title.char_indices().nth(MAX_TITLE_CHARS) {
        None => format!("\"{}\"", Visible(title)),
        Some((cut, _)) => format!("\"{}…\"", Visible(&title[..cut])),
    }
}

/// The word for a kind.
const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Epic => "epic",
        Kind::Story => "story",
        Kind::Task => "task",
    }
}

const fn status(status: Status) -> &'static str {
    match status {
        Status::Todo => "todo",
        Status::InProgress => "in progress",
        Status::Done => "done",
        Status::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests;
