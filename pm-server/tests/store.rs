//! What every change log owes, and that the one on disk and the model in memory are the same.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

#[path = "store/suite.rs"]
mod suite;

use pm_server::store::{Log, MemoryLog, Scope, SqliteLog};
use support::edits::Edits;

macro_rules! conformance {
    ($backend:ident, $make:expr, [$($test:ident),* $(,)?]) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $test() {
                    let (_guard, log) = $make.await;
                    super::suite::$test(&log).await;
                }
            )*
        }
    };
}

macro_rules! every_backend {
    ($tests:tt) => {
        conformance!(memory, super::memory(), $tests);
        conformance!(sqlite, super::sqlite(), $tests);
    };
}

every_backend!([
    an_empty_log_stands_at_zero,
    revs_are_dense_and_prev_chains_each_project,
    a_mutation_builds_on_those_before_it_in_its_group,
    a_repeated_mutation_gets_the_first_answer_whatever_happened_since,
    a_mutation_repeated_within_one_group_is_applied_once,
    a_mutation_id_is_good_for_one_operation,
    a_refusal_is_decided_anew,
    a_refused_mutation_leaves_the_rest_of_its_group_alone,
    what_changes_nothing_makes_no_event_and_is_answered,
    versions_are_checked,
    an_archived_project_refuses_changes,
    kinds_and_depth_are_kept,
    nothing_stands_below_itself,
    places_are_kept,
    ranks_run_out_and_are_made_again,
    a_deleted_tree_is_gone_and_its_ids_stay_used,
    an_id_created_and_deleted_in_one_group_stays_used,
    neighbours_change_places_in_one_group,
    a_page_says_how_far_it_reaches,
    a_snapshot_is_the_fold_of_the_log_up_to_its_rev,
    activity_is_field_by_field_and_newest_first,
    bad_text_is_refused_with_the_field_that_has_it,
]);

fn memory() -> std::future::Ready<((), MemoryLog)> {
    std::future::ready(((), MemoryLog::new(Edits::new(0).id())))
}

async fn sqlite() -> (tempfile::TempDir, SqliteLog) {
    let folder = tempfile::tempdir().unwrap();
    let log = SqliteLog::create(&folder.path().join("t.sqlite"), "t")
        .await
        .unwrap();
    (folder, log)
}

/// The part of the backlog that SQLite loads for a group decides as the whole of it does.
async fn same_as_the_model(seed: u64, groups: usize, most: usize) {
    let model = MemoryLog::new(Edits::new(seed).id());
    let (_folder, disk) = sqlite().await;
    let mut edits = Edits::new(seed);
    for round in 0..groups {
        let group = edits.group(most);
        let wanted = model.apply(&group).await.unwrap();
        let found = disk.apply(&group).await.unwrap();
        for (at, (wanted, found)) in wanted.answers.iter().zip(&found.answers).enumerate() {
            assert_eq!(found, wanted, "seed {seed}, group {round}, {:?}", group[at]);
        }
        assert_eq!(found.entries, wanted.entries, "seed {seed}, group {round}");
        if round % 4 == 0 {
            edits.look_at(&model.snapshot(Scope::Tenant).await.unwrap().items);
        }
    }
    let (wanted, found) = (
        model.snapshot(Scope::Tenant).await.unwrap(),
        disk.snapshot(Scope::Tenant).await.unwrap(),
    );
    assert_eq!(found.projects, wanted.projects, "seed {seed}");
    assert_eq!(found.items, wanted.items, "seed {seed}");
    assert_eq!(found.position.rev, wanted.position.rev, "seed {seed}");
}

#[tokio::test]
async fn sqlite_decides_as_the_model_does() {
    for seed in 0..12 {
        same_as_the_model(seed, 60, 64).await;
    }
    for seed in 100..112 {
        same_as_the_model(seed, 250, 6).await;
    }
}

#[tokio::test]
async fn a_closed_file_is_whole_and_opens_again_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.sqlite");
    let log = SqliteLog::create(&path, "t").await.unwrap();
    let mut edits = Edits::new(7);
    for _ in 0..20 {
        log.apply(&edits.group(20)).await.unwrap();
    }
    let before = log.snapshot(Scope::Tenant).await.unwrap();
    log.close().await.unwrap();
    assert!(
        log.apply(&edits.group(1)).await.is_err(),
        "closed is closed"
    );
    assert!(
        !folder.path().join("t.sqlite-wal").exists(),
        "the log was folded in"
    );
    let log = SqliteLog::open(&path, "t").await.unwrap();
    assert_eq!(log.snapshot(Scope::Tenant).await.unwrap(), before);
}
