use super::*;
use crate::domain::{Fields, Project, WorkItem};

const NOON: i64 = 1_767_268_800_000_000 + 7_654_321;

fn id(byte: u8) -> Id {
    Id::from_bytes([byte; 16])
}

fn item(byte: u8, kind: Kind, title: &str) -> WorkItem {
    WorkItem {
        id: id(byte),
        project: id(1),
        parent: None,
        kind,
        fields: Fields {
            title: title.to_owned(),
            ..Fields::default()
        },
        rank: u64::from(byte),
        version: 1,
        created_at_us: 0,
        updated_at_us: 0,
    }
}

fn backlog() -> Backlog {
    let mut backlog = Backlog::default();
    backlog.insert_project(Project {
        id: id(1),
        name: "Apollo".to_owned(),
        archived: false,
        version: 1,
        created_at_us: 0,
        updated_at_us: 0,
    });
    backlog.insert_item(item(2, Kind::Epic, "Phase 1: Queues"));
    backlog.insert_item(item(3, Kind::Story, "Set up the queue"));
    backlog
}

fn event(rev: u64, change: Change) -> Event {
    Event {
        rev,
        prev: rev - 1,
        project: id(1),
        at_us: NOON,
        actor: "alice".into(),
        mutation: id(9),
        change,
    }
}

fn line(change: Change) -> String {
    Line::new(&backlog(), &event(142, change), false).to_string()
}

fn update(old: Patch, new: Patch) -> Change {
    Change::ItemUpdated {
        id: id(3),
        version: 2,
        old,
        new,
    }
}

#[test]
fn every_kind_of_event_has_its_line() {
    let moved = |new_parent, new_rank| Change::ItemMoved {
        id: id(3),
        version: 2,
        old_parent: None,
        new_parent,
        old_rank: 5,
        new_rank,
    };
    let status = |status| Patch {
        status: Some(status),
        ..Patch::default()
    };
    let title = |title: &str| Patch {
        title: Some(title.to_owned()),
        ..Patch::default()
    };
    let assignee = |name: &str| Patch {
        assignee: Some(name.to_owned()),
        ..Patch::default()
    };
    let labels = |labels: &[&str]| Patch {
        labels: Some(labels.iter().map(|&label| label.to_owned()).collect()),
        ..Patch::default()
    };
    let project = backlog().project(id(1)).unwrap().clone();
    let lines = [
        line(Change::ProjectCreated(project)),
        line(Change::ProjectRenamed {
            version: 2,
            old: "Apollo".to_owned(),
            new: "Gemini".to_owned(),
        }),
        line(Change::ProjectArchived {
            version: 2,
            archived: true,
        }),
        line(Change::ItemCreated(item(4, Kind::Task, "Write it down"))),
        line(update(status(Status::Todo), status(Status::Done))),
        line(update(
            title("Set up the queue"),
            title("Set up two queues"),
        )),
        line(update(assignee(""), assignee("bob"))),
        line(update(labels(&["a", "b"]), labels(&["b", "c"]))),
        line(update(
            status(Status::Todo),
            Patch {
                description: Some("More.".to_owned()),
                ..status(Status::InProgress)
            },
        )),
        line(moved(Some(id(2)), 1)),
        line(moved(None, 1)),
        line(moved(None, 9)),
        line(Change::ItemsDeleted {
            ids: vec![id(3), id(5), id(6)],
        }),
        line(Change::Rebalanced {
            parent: Some(id(2)),
            ranks: vec![(id(3), 1), (id(5), 2)],
        }),
    ];
    let expected = [
        r#"   142  12:00:07Z  alice  project  created   "Apollo""#,
        r#"   142  12:00:07Z  alice  project  renamed   "Apollo" → "Gemini""#,
        r#"   142  12:00:07Z  alice  project  archived  "Apollo""#,
        r#"   142  12:00:07Z  alice  task     created   "Write it down""#,
        r#"   142  12:00:07Z  alice  story    status    todo → done  "Set up the queue""#,
        r#"   142  12:00:07Z  alice  story    title     was "Set up the queue"  "Set up two queues""#,
        r#"   142  12:00:07Z  alice  story    assignee  nobody → bob  "Set up the queue""#,
        r#"   142  12:00:07Z  alice  story    labels    -a +c  "Set up the queue""#,
        r#"   142  12:00:07Z  alice  story    changed   status todo → in progress, text rewritten  "Set up the queue""#,
        r#"   142  12:00:07Z  alice  story    moved     below "Phase 1: Queues"  "Set up the queue""#,
        r#"   142  12:00:07Z  alice  story    moved     up  "Set up the queue""#,
        r#"   142  12:00:07Z  alice  story    moved     down  "Set up the queue""#,
        r#"   142  12:00:07Z  alice  story    deleted   "Set up the queue" and 2 below it"#,
        r#"   142  12:00:07Z  alice  order    respaced  2 items below "Phase 1: Queues""#,
    ];
    assert_eq!(lines, expected);
}

#[test]
fn hostile_texts_stay_one_harmless_line() {
    let hostile = "\u{1b}]0;owned\u{7}\r\n143  epic  \u{202e}".to_owned();
    let mut created = event(
        7,
        Change::ItemCreated(WorkItem {
            fields: Fields {
                title: hostile + &"x".repeat(500),
                ..Fields::default()
            },
            ..item(4, Kind::Task, "")
        }),
    );
    created.actor = "mallory\n\u{9b}2J".into();
    let line = Line::new(&backlog(), &created, false).to_string();
    assert!(!line.chars().any(char::is_control), "{line:?}");
    let shown = r#"     7  12:00:07Z  mallory\n\u{9b}2J  task     created   "\u{1b}]0;owned\u{7}\r\n143  epic  \u{202e}xxx"#;
    assert!(line.starts_with(shown), "{line}");
    assert!(line.ends_with("x…\""), "{line}");
    let labels = Patch {
        labels: Some(vec!["\u{1b}[31m".to_owned()]),
        assignee: Some("\u{1b}c".to_owned()),
        ..Patch::default()
    };
    let line = self::line(update(Patch::default(), labels));
    assert!(!line.chars().any(char::is_control), "{line:?}");
}

#[test]
fn what_is_not_known_is_said_to_be() {
    let deleted = Change::ItemsDeleted { ids: vec![id(77)] };
    assert!(line(deleted).ends_with("item     deleted   (unknown)"));
}

#[test]
fn colour_changes_nothing_but_colour() {
    let created = event(1, Change::ItemCreated(item(4, Kind::Task, "Write")));
    let coloured = Line::new(&backlog(), &created, true).to_string();
    let plain = Line::new(&backlog(), &created, false).to_string();
    assert!(coloured.contains("\u{1b}[32mcreated "), "{coloured:?}");
    assert!(!plain.contains('\u{1b}'));
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}
