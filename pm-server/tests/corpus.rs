//! Replays what the fuzz targets start from and what they have found, without a fuzzer.

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
