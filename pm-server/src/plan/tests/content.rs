//! Titles, descriptions, labels.

use super::*;

#[test]
fn nested_lists_and_paragraphs_are_the_description() {
    let text = "# A\n- [ ] a\n  - one\n    two\n    - three\n\n  1. four\n\n  five\n  six\n  - [ ] b\n  - seven\n";
    assert_eq!(
        described(text),
        [(
            "a".to_owned(),
            "- one\n  two\n  - three\n1. four\n\nfive\nsix\n- seven".to_owned()
        )]
    );
}

#[test]
fn headings_inside_an_item_are_its_description() {
    let text = "# A\n- [ ] a\n\n  # not a heading\n  - [ ] b\n";
    assert_eq!(tree(text), "E  A\n  S  a\n    T  b\n");
    assert_eq!(
        described(text),
        [("a".to_owned(), "# not a heading".to_owned())]
    );
}

#[test]
fn a_title_goes_on_until_a_blank_line() {
    let text = "# A\n- [ ] a long\n  title\n\n  and text\n- [ ] b\nlazy\n";
    assert_eq!(tree(text), "E  A\n  S  a long title\n  S  b lazy\n");
    assert_eq!(
        described(text),
        [("a long title".to_owned(), "and text".to_owned())]
    );
}

#[test]
fn text_above_the_first_list_describes_the_epic() {
    let text =
        "# P\nintro\n## A\n**Goal**: win\nsoon\n\nmore\n\n**Deliverables**:\n- [ ] a\n\nafter\n";
    assert_eq!(
        described(text),
        [("A".to_owned(), "**Goal**: win\nsoon\n\nmore".to_owned())]
    );
    assert_eq!(skipped(text), []);
    assert_eq!(described("# A\n<!-- note -->\ntext\n- [ ] a\n").len(), 1);
    assert_eq!(described("# A\n- plain\n\ntext\n- [ ] a\n"), []);
}

#[test]
fn requirements_become_labels() {
    let text = "# A\n- [ ]* a\n  - _Requirements: 1.1, 1.2; 1.1_\n  - **Requirement:** NFR 7\n";
    assert_eq!(
        tree(text),
        "E  A\n  S  a #optional #req:1.1 #req:1.2 #req:NFR 7\n"
    );
    assert_eq!(described(text), []);
}

#[test]
fn requirements_without_room_stay_in_the_description() {
    let many: Vec<_> = (0..40).map(|n| n.to_string()).collect();
    let line = format!("_Requirements: {}_", many.join(", "));
    let item = story(&format!("# A\n- [ ] a\n  - {line}\n"));
    assert_eq!(item.labels.len(), MAX_LABELS);
    assert_eq!(item.description, format!("- {line}"));
    let item = story(&format!(
        "# A\n- [ ] a\n  - _Requirements: {}, 2_\n",
        "n".repeat(61)
    ));
    assert_eq!(item.labels, ["req:2"]);
    assert!(item.description.contains("nnn"));
}

#[test]
fn emphasis_around_a_title_goes_and_other_markdown_stays() {
    let text = "# **P**\n## A ✅ **DONE**\n- [ ] **a**\n  - **b**\n- [ ] `c` and *d*\n";
    assert_eq!(tree(text), "E  A ✅ **DONE**\n  S  a\n  S  `c` and *d*\n");
    assert_eq!(title(text), "P");
    assert_eq!(described(text), [("a".to_owned(), "- **b**".to_owned())]);
}

#[test]
fn long_titles_are_cut_and_kept_in_the_description() {
    let long = "wörd ".repeat(200);
    let item = story(&format!("# A\n- [ ] {long}\n  - more\n"));
    assert!(item.title.chars().count() <= MAX_TITLE_CHARS && item.title.ends_with('…'));
    assert_eq!(item.description, format!("{}\n\n- more", long.trim()));
    let exact = "a".repeat(MAX_TITLE_CHARS);
    let item = story(&format!("# A\n- [ ] {exact}\n"));
    assert_eq!((item.title, item.description), (exact, String::new()));
}

#[test]
fn descriptions_are_cut() {
    let line = format!("  - {}\n", "ü".repeat(1000));
    let item = story(&format!("# A\n- [ ] a\n{}", line.repeat(100)));
    assert!((MAX_DESCRIPTION_BYTES - 5..=MAX_DESCRIPTION_BYTES).contains(&item.description.len()));
    assert!(item.description.ends_with('…'));
}

#[test]
fn control_characters_are_replaced() {
    let item = story("# A\n- [ ] a\u{1b}[31m\n  - b\tc\u{8}\n");
    assert_eq!(item.title, "a\u{fffd}[31m");
    assert_eq!(item.description, "- b\tc\u{fffd}");
}
