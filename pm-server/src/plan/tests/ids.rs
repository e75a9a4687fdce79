//! What an edit to the file does to the ids.

use std::collections::HashSet;

use uuid::Uuid;

use crate::plan::{Source, read};

const PLAN: &str = "# P\n\n## A\n\n- [ ] a\n  - [ ] same\n  - text\n  - [ ] same\n- [x] b\n  - [ ] same\n\n## B\n\n- [ ] a\n";

fn ids(text: &str) -> Vec<Uuid> {
    let source = Source::new("demo", "plan.md");
    let plan = read(text.as_bytes(), "plan.md").unwrap();
    plan.items.iter().map(|item| source.entity(item)).collect()
}

/// How many ids an edit gives up, and how many it brings.
fn changes(edited: &str) -> (usize, usize) {
    let (before, after): (HashSet<_>, HashSet<_>) = (
        ids(PLAN).into_iter().collect(),
        ids(edited).into_iter().collect(),
    );
    (
        before.difference(&after).count(),
        after.difference(&before).count(),
    )
}

#[test]
fn equal_texts_in_different_places_are_different_things() {
    let ids = ids(PLAN);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
}

#[test]
fn state_and_looks_are_no_part_of_an_id() {
    for (from, to) in [
        ("[ ]", "[x]"),
        ("[x]", "[ ]*"),
        ("- ", "* "),
        ("  - ", "\t- "),
        ("\n", "\r\n"),
        ("text", "other"),
    ] {
        assert_eq!(
            changes(&PLAN.replace(from, to)),
            (0, 0),
            "{from:?} to {to:?}"
        );
    }
    assert_eq!(changes(&PLAN.replace("- [ ] a", "- ✅ **a**")), (0, 0));
}

#[test]
fn a_line_inserted_anywhere_changes_no_other_id() {
    let lines: Vec<_> = PLAN.lines().collect();
    for at in 0..=lines.len() {
        for (line, new) in [
            ("", 0),
            ("words", 0),
            ("- plain", 0),
            ("  - plain", 0),
            ("| a |", 0),
            ("- [ ] new", 1),
        ] {
            let mut edited = lines.clone();
            edited.insert(at, line);
            let edited = edited.join("\n");
            // Between a story and its tasks a new story takes them over: that is what it says.
            if new == 1 && edited.contains("- [ ] new\n  -") {
                continue;
            }
            let (gone, come) = changes(&edited);
            let epic = usize::from(new == 1 && at < 3);
            assert_eq!((gone, come), (0, new + epic), "{line:?} at {at}");
        }
    }
}

#[test]
fn rewording_changes_an_item_and_what_is_nested_in_it() {
    assert_eq!(changes(&PLAN.replace("] b", "] c")), (2, 2));
    assert_eq!(changes(&PLAN.replace("## A", "## C")), (6, 6));
    assert_eq!(changes(&PLAN.replace("# P\n", "# Q\n")), (8, 8));
}

#[test]
fn an_equal_sibling_above_takes_the_id_of_the_one_below() {
    let edited = PLAN.replacen("- [ ] a\n", "- [ ] a\n- [ ] a\n", 1);
    // The tasks now stand in the second `a`.
    assert_eq!(changes(&edited), (2, 3));
}

#[test]
fn tenants_and_files_do_not_share_ids() {
    let plan = read(PLAN.as_bytes(), "plan.md").unwrap();
    let all: HashSet<_> = [("demo", "plan.md"), ("other", "plan.md"), ("demo", "b.md")]
        .into_iter()
        .flat_map(|(tenant, file)| {
            let source = Source::new(tenant, file);
            let entities: Vec<_> = plan.items.iter().map(|item| source.entity(item)).collect();
            let creations: Vec<_> = entities.iter().map(|id| source.creation(*id)).collect();
            [
                entities,
                creations,
                vec![source.project(), source.creation(source.project())],
            ]
            .concat()
        })
        .collect();
    assert_eq!(all.len(), 3 * 2 * (plan.items.len() + 1));
}
