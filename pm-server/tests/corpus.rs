//! Replays what the fuzz targets start from and what they have found, without a fuzzer.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use pm_server::plan::{PlanError, invariants, read};

/// The files of one target's corpus, in the order of their names.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = std::fs::read_dir(folder).expect("the corpus belongs to the repository");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("a readable entry").path())
        .collect();
    paths.sort();
    let load = |path: PathBuf| {
        let bytes = std::fs::read(&path).expect("a readable file");
        (path, bytes)
    };
    paths.into_iter().map(load).collect()
}

#[test]
fn every_message_is_survived() {
    let files = corpus("frame");
    assert!(
        files.len() >= 15,
        "only {} files: the corpus is not complete",
        files.len()
    );
    for (path, bytes) in &files {
        println!("{}", path.display());
        support::peer::chew(bytes);
    }
}

proptest::proptest! {
    #[test]
    fn any_message_is_survived(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        support::peer::chew(&bytes);
    }

    /// Most random bytes end at the first one; a good message with one wrong byte gets further.
    #[test]
    fn a_message_with_a_wrong_byte_is_survived(
        file in proptest::sample::select(corpus("frame")),
        at in proptest::prelude::any::<proptest::sample::Index>(),
        byte in proptest::num::u8::ANY,
    ) {
        let (_, mut bytes) = file;
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        support::peer::chew(&bytes);
    }
}

#[test]
fn every_plan_keeps_every_promise() {
    let files = corpus("import");
    assert!(
        files.len() >= 20,
        "only {} files: the corpus is not complete",
        files.len()
    );
    for (path, bytes) in &files {
        assert_eq!(
            invariants::check(bytes, "plan.md"),
            Ok(()),
            "{}",
            path.display()
        );
    }
}

/// A corpus of which everything is a plan, or nothing, would test half of the reader.
#[test]
fn the_plans_of_the_corpus_reach_every_answer() {
    let answers: Vec<_> = corpus("import")
        .iter()
        .map(|(_, file)| read(file, "plan.md"))
        .collect();
    assert!(answers.iter().filter(|answer| answer.is_ok()).count() >= 10);
    let errors: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
    assert!(errors.contains(&PlanError::Empty));
    assert!(errors.contains(&PlanError::NoItems));
    assert!(
        errors
            .iter()
            .any(|error| matches!(error, PlanError::NotText { .. }))
    );
    assert!(
        errors
            .iter()
            .any(|error| matches!(error, PlanError::NeverClosed { .. }))
    );
}
