//! What holds for files that nobody thought of.

use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::plan::{Plan, Source, invariants, read};

/// Lines that mean something, in orders that mean nothing.
fn line() -> impl Strategy<Value = String> {
    let body = prop_oneof![
        4 => "(- |\\* |\\+ |1\\. |)\\[[ xX-]\\]\\*? [ab]{0,2}",
        2 => "- ✅ ?[ab]?",
        2 => "#{1,7} ?[AB]?",
        2 => "[-*+] [ab]{0,2}",
        1 => "[-=*_|:]{1,4}",
        1 => "(```|~~~|<!--|-->)[a ]?",
        1 => "\\| ?a ?\\|?",
        1 => "_Requirements: [0-9, .]{0,9}_",
        1 => "\\PC{0,12}",
        1 => Just(String::new()),
    ];
    ("[ \t]{0,6}", body).prop_map(|(indent, body)| indent + &body)
}

fn file() -> impl Strategy<Value = String> {
    (
        vec(line(), 0..40),
        prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
    )
        .prop_map(|(lines, ending)| lines.join(ending))
}

/// Lines of headings, checkboxes and descriptions, as people write them.
fn plan_line() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => "#{1,3} [AB]",
        6 => "(  ){0,3}- \\[[ x]\\]\\*? [abc]",
        2 => "(  ){1,4}- [abc]",
        1 => Just(String::new()),
    ]
}

/// Lines that neither start an item nor hide one.
fn unrelated_line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ \t]{0,6}(- |1\\. |> |)[a-z ]{0,9}",
        "\\| [a-z] \\|",
        "<!-- [a-z]{0,3} -->"
    ]
}

fn ids(plan: &Plan) -> Vec<uuid::Uuid> {
    let source = Source::new("demo", "plan.md");
    plan.items.iter().map(|item| source.entity(item)).collect()
}

proptest! {
    #[test]
    fn any_bytes_keep_every_promise(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(invariants::check(&bytes, "plan.md"), Ok(()));
    }

    #[test]
    fn any_text_and_name_keep_every_promise(text in "\\PC*|(?s).{0,200}", name in "(?s).{0,20}") {
        prop_assert_eq!(invariants::check(text.as_bytes(), &name), Ok(()));
    }

    #[test]
    fn any_order_of_lines_keeps_every_promise(text in file()) {
        prop_assert_eq!(invariants::check(text.as_bytes(), "plan.md"), Ok(()));
    }

    #[test]
    fn an_unrelated_line_changes_no_id(
        lines in vec(plan_line(), 1..40),
        line in unrelated_line(),
        at in any::<prop::sample::Index>(),
    ) {
        let Ok(before) = read(lines.join("\n").as_bytes(), "plan.md") else {
            return Ok(());
        };
        let mut edited = lines.clone();
        edited.insert(at.index(lines.len() + 1), line);
        let after = read(edited.join("\n").as_bytes(), "plan.md").unwrap();
        prop_assert_eq!(ids(&before), ids(&after));
    }

    #[test]
    fn a_new_checkbox_at_the_end_of_a_section_changes_no_other_id(
        lines in vec(plan_line(), 1..40),
        heading in 0_usize..4,
    ) {
        let Ok(before) = read(lines.join("\n").as_bytes(), "plan.md") else {
            return Ok(());
        };
        let ends = lines.iter().enumerate().filter(|(_, line)| line.starts_with('#'));
        let at = ends.map(|(at, _)| at).nth(heading).unwrap_or(lines.len());
        let mut edited = lines.clone();
        edited.insert(at, "- [ ] new".to_owned());
        let after = read(edited.join("\n").as_bytes(), "plan.md").unwrap();
        let after: HashSet<_> = ids(&after).into_iter().collect();
        prop_assert!(ids(&before).iter().all(|id| after.contains(id)));
    }

    #[test]
    fn ticking_boxes_changes_no_id(lines in vec(plan_line(), 1..40)) {
        let text = lines.join("\n");
        let Ok(before) = read(text.as_bytes(), "plan.md") else {
            return Ok(());
        };
        let after = read(text.replace("[ ]", "[x]").as_bytes(), "plan.md").unwrap();
        prop_assert_eq!(ids(&before), ids(&after));
    }
}
