//! What is no part of a plan, and which files are none.

use super::*;

#[test]
fn what_is_passed_over_is_listed_once_where_it_begins() {
    let text = "# A\n- plain\n  wrapped\n  - nested\n1. one\n2. two\n\n| a |\n|---|\n| b |\n\n```\n- [ ] code\n```\n- [ ]\n<!--\n- [ ] no\n-->\n- [ ] a\n";
    assert_eq!(
        skipped(text),
        [
            (2, What::Bullet),
            (5, What::Numbered),
            (6, What::Numbered),
            (8, What::Table),
            (12, What::Code),
            (15, What::EmptyCheckbox),
            (16, What::Comment),
        ]
    );
    assert_eq!(tree(text), "E  A\n  S  a\n");
}

#[test]
fn a_table_may_do_without_outer_bars() {
    let text = "# A\nintro\na | b\n--|--\n1 | 2\n\n- [ ] a\n";
    assert_eq!(skipped(text), [(3, What::Table)]);
    assert_eq!(described(text), [("A".to_owned(), "intro".to_owned())]);
}

#[test]
fn a_number_inside_a_paragraph_is_no_list() {
    assert_eq!(skipped("# A\nIt was in\n1999. Or so.\n\n- [ ] a\n"), []);
    assert_eq!(skipped("# A\nSteps\n1. one\n2. two\n- [ ] a\n").len(), 2);
}

#[test]
fn fences_hide_checkboxes_until_their_own_mark() {
    let text = "# A\n~~~md\n```\n- [ ] no\n    ~~~\n- [ ] no\n~~~~\n- [ ] a\n";
    assert_eq!(tree(text), "E  A\n  S  a\n");
    assert_eq!(skipped(text), [(2, What::Code)]);
}

#[test]
fn a_fence_in_a_list_ends_with_its_item() {
    let text = "# A\n- [ ] a\n  ```\n  - [ ] no\n\n  # no\n- [ ] b\n  ```\n  x\n  ```\n  - [ ] c\n";
    assert_eq!(tree(text), "E  A\n  S  a\n  S  b\n    T  c\n");
    assert_eq!(skipped(text), [(3, What::Code), (8, What::Code)]);
    assert_eq!(described(text), []);
}

#[test]
fn an_unclosed_block_runs_to_the_end_and_says_so() {
    assert_eq!(
        skipped("# A\n- [ ] a\n\n```\n- [ ] b\n"),
        [(4, What::UnclosedCode)]
    );
    assert_eq!(
        skipped("# A\n- [ ] a\n\n<!-- x\n- [ ] b\n"),
        [(4, What::UnclosedComment)]
    );
}

#[test]
fn front_matter_is_passed_over_and_a_rule_at_the_top_is_not_front_matter() {
    let text = "---\ntitle: x\n\nlist:\n- [ ] no\n---\n- [ ] a\n";
    assert_eq!(skipped(text), [(1, What::FrontMatter)]);
    assert_eq!(plan(text).items[1].line, 7);
    assert_eq!(tree("---\n\n- [ ] a\n\n---\n"), "E  some-plan\n  S  a\n");
    assert_eq!(
        tree("---\nkey: never closed\n\n- [ ] a\n"),
        "E  some-plan\n  S  a\n"
    );
}

#[test]
fn bom_and_line_endings_make_no_difference() {
    let text = "# P\n\n## A\n- [x] a\n  - text\n\n```\ncode\n```\n";
    let expected = plan(text);
    assert_eq!(plan(&format!("\u{feff}{text}")), expected);
    assert_eq!(plan(&text.replace('\n', "\r\n")), expected);
    assert_eq!(plan(&text.replace('\n', "\r")), expected);
}

#[test]
fn files_that_are_no_plan_say_what_to_do() {
    let fault = |bytes: &[u8]| read(bytes, "x.md").unwrap_err();
    assert_eq!(fault(b""), PlanError::Empty);
    assert_eq!(fault("\u{feff}\n \n".as_bytes()), PlanError::Empty);
    assert_eq!(fault(b"\x89PNG\r\n"), PlanError::NotText { offset: 0 });
    assert_eq!(fault(b"- [ ] a\0"), PlanError::NotText { offset: 7 });
    assert_eq!(fault(b"\xff\xfe-\0"), PlanError::NotText { offset: 0 });
    assert_eq!(fault(b"# Plan\n- none\n"), PlanError::NoItems);
    let what = What::UnclosedCode;
    assert_eq!(
        fault(b"# P\n```\n- [ ] a\n"),
        PlanError::NeverClosed { line: 2, what }
    );
    let large = vec![b'a'; MAX_FILE_BYTES + 1];
    assert_eq!(fault(&large), PlanError::TooLarge { bytes: large.len() });
    for fault in [
        fault(b""),
        fault(b"\xff"),
        fault(&large),
        fault(b"a"),
        fault(b"```"),
    ] {
        let message = fault.to_string();
        assert!(
            message.contains(": ") && !message.ends_with('.'),
            "{message}"
        );
    }
}
