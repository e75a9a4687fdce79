//! Which lines are epics, stories and tasks, and what the plan is called.

use super::*;

#[test]
fn headings_with_checkboxes_are_epics_and_nesting_makes_tasks() {
    let text = "# Plan\n## One\n- [x] a\n  - [ ] b\n    - [x] c\n  - ✅ d\n- [ ]* e\n## Empty\n## Two\n* [ ] f\n";
    assert_eq!(
        tree(text),
        "E  One\n  Sx a\n    T  b\n      Tx c\n    Tx d\n  S  e #optional\nE  Two\n  S  f\n"
    );
    assert_eq!(title(text), "Plan");
    let lines: Vec<_> = plan(text).items.iter().map(|item| item.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 7, 9, 10]);
}

#[test]
fn the_nearest_heading_is_the_epic_whatever_its_level() {
    let text = "# P\n###### Deep\n- [ ] a\n## Up\n- [ ] b\n";
    assert_eq!(tree(text), "E  Deep\n  S  a\nE  Up\n  S  b\n");
}

#[test]
fn equal_headings_are_two_epics() {
    assert_eq!(
        tree("# A\n- [ ] x\n# A\n- [ ] x\n"),
        "E  A\n  S  x\nE  A\n  S  x\n"
    );
}

#[test]
fn the_title_is_the_first_top_heading_unless_such_headings_divide_the_plan() {
    assert_eq!(title("# Plan\n## A\n- [ ] x\n"), "Plan");
    assert_eq!(title("## A\n- [ ] x\n# Plan\n"), "Plan");
    assert_eq!(title("# Only\n- [ ] x\n## More\n- [ ] y\n"), "Only");
    assert_eq!(title("# A\n- [ ] x\n# B\n- [ ] y\n"), "some-plan");
    assert_eq!(title("## A\n- [ ] x\n"), "some-plan");
    assert_eq!(title("- [ ] x\n"), "some-plan");
}

#[test]
fn a_name_is_found_for_any_file() {
    for (name, expected) in [
        ("a/b.c.md", "b.c"),
        ("C:\\x\\y.md", "y"),
        ("README", "README"),
        (".md", ".md"),
        ("", "plan"),
        ("a/", "plan"),
    ] {
        assert_eq!(read(b"- [ ] x", name).unwrap().title, expected, "{name}");
    }
}

#[test]
fn checkboxes_above_the_first_heading_get_an_epic_named_after_the_plan() {
    assert_eq!(tree("- [ ] a\n- [ ] b\n"), "E  some-plan\n  S  a\n  S  b\n");
    assert_eq!(
        tree("- [ ] a\n# P\n## E\n- [ ] b\n"),
        "E  P\n  S  a\nE  E\n  S  b\n"
    );
}

#[test]
fn setext_headings_are_headings() {
    let text = "Plan\n====\n\nFirst\nepic\n---\n- [ ] a\n";
    assert_eq!(tree(text), "E  First epic\n  S  a\n");
    assert_eq!(title(text), "Plan");
    assert_eq!(plan(text).items[0].line, 4);
}

#[test]
fn rules_and_nameless_headings_start_nothing() {
    assert_eq!(
        tree("# A\n## B\n- [ ] a\n\n---\n***\n##\n  - [ ] b\n"),
        "E  B\n  S  a\n    T  b\n"
    );
}

#[test]
fn only_less_indentation_is_nesting() {
    assert_eq!(
        tree("# A\n   - [ ] a\n  - [ ] b\n   - [ ] c\n"),
        "E  A\n  S  a\n  S  b\n    T  c\n"
    );
    assert_eq!(
        tree("# A\n- [ ] a\n\t- [ ] b\n    - [ ] c\n\t  - [ ] d\n"),
        "E  A\n  S  a\n    T  b\n    T  c\n      T  d\n"
    );
    assert_eq!(
        tree("# A\n1. [ ] a\n   1) [x] b\n"),
        "E  A\n  S  a\n    Tx b\n"
    );
}

#[test]
fn blank_lines_text_and_plain_bullets_do_not_close_a_checkbox() {
    let text = "# A\n- [ ] a\n\n\n\nprose\n\n- plain\n  - [ ] b\n";
    assert_eq!(tree(text), "E  A\n  S  a\n    T  b\n");
    assert_eq!(skipped(text), [(8, What::Bullet)]);
}

#[test]
fn what_is_nested_too_deep_hangs_on_the_deepest_that_may_have_children() {
    let boxes: String = (0..10)
        .map(|n| format!("{}- [ ] {n}\n", " ".repeat(n)))
        .collect();
    let plan = plan(&format!("# A\n{boxes}"));
    let parents: Vec<_> = plan.items.iter().filter_map(|item| item.parent).collect();
    // Item 7 is on level 8, the last: the three below become its siblings.
    assert_eq!(parents, [0, 1, 2, 3, 4, 5, 6, 6, 6, 6]);
}
