//! Plans that people wrote, read as a whole.

use std::path::Path;

use pm_server::{
    domain::{Kind, Status},
    plan::{OPTIONAL_LABEL, Plan, What, invariants, read},
};

/// The project's own plan, which every checkout has.
const ROADMAP: &str = "../examples/plans/roadmap.md";

/// Plans of other projects lie beside the repository on the machines that have them.
const BESIDE: &str = "../../shared/data";

/// A file by its path from this crate, if it is there.
fn load(relative: &str) -> Option<Plan> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(relative);
    let bytes = std::fs::read(path).ok()?;
    assert_eq!(invariants::check(&bytes, relative), Ok(()));
    Some(read(&bytes, relative).unwrap_or_else(|error| panic!("{relative}: {error}")))
}

/// Epics, stories, tasks, skipped, and how many items in all.
fn counts(plan: &Plan) -> [usize; 5] {
    let [epics, stories, tasks] =
        [Kind::Epic, Kind::Story, Kind::Task].map(|kind| plan.count(kind));
    [epics, stories, tasks, plan.skipped.len(), plan.items.len()]
}

fn done(plan: &Plan, kind: Kind) -> usize {
    plan.items
        .iter()
        .filter(|item| item.kind == kind && item.status == Status::Done)
        .count()
}

fn skipped(plan: &Plan, what: What) -> usize {
    plan.skipped
        .iter()
        .filter(|skipped| skipped.what == what)
        .count()
}

fn labelled(plan: &Plan, label: &str) -> usize {
    plan.items
        .iter()
        .filter(|item| item.labels.iter().any(|other| other == label))
        .count()
}

fn description<'a>(plan: &'a Plan, title: &str) -> &'a str {
    let item = plan.items.iter().find(|item| item.title.starts_with(title));
    item.map_or_else(|| panic!("no item `{title}`"), |item| &item.description)
}

fn assert_roadmap() {
    let plan = load(ROADMAP).expect("the roadmap belongs to the repository");
    assert_eq!(plan.title, "Roadmap");
    assert_eq!(counts(&plan), [8, 19, 30, 1, 57]);
    assert_eq!(skipped(&plan, What::FrontMatter), 1);
    assert_eq!((done(&plan, Kind::Story), done(&plan, Kind::Task)), (5, 12));
    assert_eq!(
        (
            labelled(&plan, OPTIONAL_LABEL),
            labelled(&plan, "req:law.6")
        ),
        (3, 2)
    );
    assert!(description(&plan, "pm-core").starts_with("**Goal**: "));
    assert_eq!(
        description(&plan, "18.2"),
        "- a position is an epoch and a revision\n- resume is complete or refused, never partial"
    );
}

#[test]
fn the_roadmap_reads_as_it_was_meant() {
    assert_roadmap();
}

#[test]
fn a_plan_of_numbered_phases_reads_as_counted_by_hand() {
    let name = format!("{BESIDE}/platform-plan.md");
    let Some(plan) = load(&name) else {
        println!("{name} is not on this machine: counted the roadmap instead");
        return assert_roadmap();
    };
    assert_eq!(plan.title, "Implementation Plan");
    assert_eq!(counts(&plan), [4, 19, 115, 0, 138]);
    assert_eq!(
        (done(&plan, Kind::Story), done(&plan, Kind::Task)),
        (18, 115)
    );
}

#[test]
fn a_plan_in_prose_reads_without_an_error_and_lists_what_it_passes_over() {
    let name = format!("{BESIDE}/websocket-plan.md");
    let Some(plan) = load(&name) else {
        println!("{name} is not on this machine: counted the roadmap instead");
        return assert_roadmap();
    };
    assert_eq!(
        plan.title,
        "Implementation Plan (Revised - WebSocket First)"
    );
    assert_eq!(counts(&plan), [8, 90, 0, 215, 98]);
    assert_eq!(done(&plan, Kind::Story), 90);
    let kinds = [What::Bullet, What::Numbered, What::Code, What::Table];
    assert_eq!(kinds.map(|what| skipped(&plan, what)), [200, 10, 4, 1]);
    assert_eq!(
        description(&plan, "Read-only REST endpoints")
            .lines()
            .count(),
        4
    );
}
