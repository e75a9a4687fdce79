//! The suites that every store of violations, blocks, rules and emergencies runs.
//!
//! Each function is one promise of [`ViolationStore`](crate::ViolationStore),
//! [`BlockStore`](crate::BlockStore), [`RuleStore`](crate::RuleStore) or
//! [`EmergencyStore`](crate::EmergencyStore), checked on a fresh store; it panics where the promise is broken. [`guard_conformance!`](crate::guard_conformance) makes one test
//! of each:
//!
//! ```
//! use std::sync::Arc;
//! use pm_ratelimit::guard::MemoryStore;
//!
//! pm_ratelimit::guard_conformance!(Arc::new(MemoryStore::new()));
//! # fn main() {}
//! ```
//!
//! The expression is evaluated in an async context, once for each test. Times are made up by the
//! tests: a store reads no clock. The suites grow with the contracts and are outside semantic
//! versioning.

pub mod blocks;
pub mod emergencies;
pub mod quotas;
pub mod rules;
pub mod violations;

use pm_core::Cidr;

/// 2026-01-01, in microseconds.
const START: i64 = 1_767_225_600_000_000;
const SECOND: i64 = 1_000_000;

/// One test for each function of [`guard::conformance`](mod@crate::guard::conformance), on the store
/// that the expression makes anew for each, an [`Arc`](std::sync::Arc). What keeps only one kind of
/// thing says so: `guard_conformance!(blocks on store)`, and `emergencies` and `violations` the same; `rules` are those and
/// quotas of users.
///
/// The tests are `#[tokio::test]`s: the package needs `tokio` with the features `macros` and `rt`
/// as a development dependency.
#[macro_export]
macro_rules! guard_conformance {
    (blocks on $store:expr) => {
        $crate::guard_conformance!(@tests blocks $store;
            a_block_is_told_to_whoever_asks
            every_change_has_the_next_version_and_is_told_once
            the_last_word_of_somebody_counts
            an_automatic_block_yields_to_somebody
            changes_come_in_pages
            a_position_of_another_epoch_knows_nothing
            what_is_forgotten_is_gone_and_nothing_else
            entries_have_what_they_were_imposed_with
            many_who_impose_at_the_same_time_get_different_versions
        );
    };
    (emergencies on $store:expr) => {
        $crate::guard_conformance!(@tests emergencies $store;
            nothing_stands_at_first
            a_word_has_what_was_said
            the_word_that_was_said_last_counts
            many_who_say_something_at_the_same_time_agree
        );
    };
    (rules on $store:expr) => {
        $crate::guard_conformance!(@tests quotas $store;
            a_quota_is_of_one_user_by_one_rule
            quotas_are_exact
            every_change_of_a_quota_is_told_once
            a_quota_is_told_with_the_position_of_the_store
            quotas_come_in_pages
            whoever_is_far_behind_misses_nothing
        );
        $crate::guard_conformance!(@tests rules $store;
            rules_have_what_they_were_put_with
            the_last_edit_of_a_rule_counts
            a_thousand_rules_are_one_edit
            the_same_again_changes_nothing
            an_edit_of_other_rules_than_there_are_is_refused
            of_many_who_edit_the_same_rules_one_does
            rules_are_told_whole_when_one_changes
            a_position_of_another_life_knows_nothing
        );
    };
    (violations on $store:expr) => {
        $crate::guard_conformance!(@tests violations $store;
            violations_are_kept_for_an_hour_the_latest_first
            violations_have_what_they_were_recorded_with
            the_eleventh_violation_passes_the_threshold_once
            a_passed_threshold_is_armed_again
            violations_that_come_out_of_order_alert_nobody_early
            a_thousand_rows_are_one_step
            many_who_record_at_the_same_time_see_one_eleventh
        );
    };
    (@tests $noun:ident $store:expr; $($name:ident)*) => {
        $(
            #[::tokio::test]
            async fn $name() {
                $crate::guard::conformance::$noun::$name($store).await;
            }
        )*
    };
    ($store:expr) => {
        $crate::guard_conformance!(blocks on $store);
        $crate::guard_conformance!(emergencies on $store);
        $crate::guard_conformance!(rules on $store);
        $crate::guard_conformance!(violations on $store);
    };
}

fn addr(number: u8) -> Cidr {
    Cidr::from(std::net::IpAddr::from([192, 0, 2, number]))
}

/// Polls all of them side by side.
async fn together<F: Future, const N: usize>(futures: [F; N]) -> [F::Output; N] {
    let mut futures = futures.map(|future| (Box::pin(future), None));
    std::future::poll_fn(|cx| {
        let mut pending = false;
        for (future, output) in &mut futures {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(ready) => *output = Some(ready),
                    std::task::Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(())
    })
    .await;
    futures.map(|(_, output)| output.expect("all of them are done"))
}
