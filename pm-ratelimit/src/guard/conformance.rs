//! The suite that every store of violations and blocks runs.
//!
//! Each function is one promise of [`ViolationStore`] or [`BlockStore`], checked on a fresh store; it
//! panics where the promise is broken. [`guard_conformance!`](crate::guard_conformance) makes one test
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
//! tests: a store reads no clock. The suite grows with the contract and is outside semantic
//! versioning.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pm_core::Cidr;

use crate::block::{BlockStore, Cause, Effect, Entry, PAGE, Position};
use crate::violations::{KEPT, Threshold, Violation, ViolationStore};

/// 2026-01-01, in microseconds.
const START: i64 = 1_767_225_600_000_000;
const SECOND: i64 = 1_000_000;
const ALERT: Threshold = Threshold::more_than(10, Duration::from_secs(300));

/// One test for each function of [`guard::conformance`](mod@crate::guard::conformance), on the store
/// that the expression makes anew for each: an [`Arc`] of something that is both a [`ViolationStore`]
/// and a [`BlockStore`].
///
/// The tests are `#[tokio::test]`s: the package needs `tokio` with the features `macros` and `rt`
/// as a development dependency.
#[macro_export]
macro_rules! guard_conformance {
    ($store:expr) => {
        $crate::guard_conformance!(@tests $store;
            violations_are_kept_for_an_hour_the_latest_first
            violations_have_what_they_were_recorded_with
            the_eleventh_violation_passes_the_threshold_once
            a_passed_threshold_is_armed_again
            violations_that_come_out_of_order_alert_nobody_early
            a_thousand_rows_are_one_step
            many_who_record_at_the_same_time_see_one_eleventh
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
    (@tests $store:expr; $($name:ident)*) => {
        $(
            #[::tokio::test]
            async fn $name() {
                $crate::guard::conformance::$name($store).await;
            }
        )*
    };
}

fn addr(number: u8) -> Cidr {
    Cidr::from(std::net::IpAddr::from([192, 0, 2, number]))
}

fn violation(number: u8, at: i64) -> Violation {
    Violation::new(addr(number).network(), at, "GET /")
}

async fn record<S: ViolationStore>(store: &Arc<S>, rows: Vec<Violation>, now: i64) -> Vec<Cidr> {
    let recorded = Arc::clone(store).record(rows, ALERT, now).await;
    recorded.expect("the store works")
}

async fn recent<S: ViolationStore>(store: &Arc<S>, number: u8, now: i64) -> Vec<i64> {
    let found = Arc::clone(store).recent(addr(number), 1_000, now).await;
    let found = found.expect("the store works");
    found.iter().map(Violation::at_micros).collect()
}

fn entry(number: u8, effect: Effect, cause: Cause, until: Option<i64>) -> Entry {
    Entry {
        prefix: addr(number),
        effect,
        cause,
        reason: "because".into(),
        actor: "ada".into(),
        since_micros: START,
        until_micros: until,
        level: u32::from(cause == Cause::Automatic),
        forgotten_micros: until.unwrap_or(i64::MAX),
        version: 0,
    }
}

fn block(number: u8) -> Entry {
    entry(number, Effect::Block, Cause::Manual, None)
}

async fn impose<S: BlockStore>(store: &Arc<S>, entry: Entry, now: i64) -> Entry {
    let stand = Arc::clone(store).impose(vec![entry], now).await;
    let mut stand = stand.expect("the store works");
    assert_eq!(stand.len(), 1);
    stand.remove(0)
}

async fn changes<S: BlockStore>(store: &Arc<S>, since: Position) -> (Position, Vec<Entry>) {
    let changes = Arc::clone(store).changes(since, START).await;
    let changes = changes.expect("the store works");
    (changes.position, changes.entries)
}

/// After an hour they are gone.
pub async fn violations_are_kept_for_an_hour_the_latest_first<S: ViolationStore>(store: Arc<S>) {
    let kept = KEPT.as_micros() as i64;
    let times = [START, START + SECOND, START + 2 * SECOND];
    record(&store, times.map(|at| violation(1, at)).to_vec(), times[2]).await;
    record(&store, vec![violation(2, times[2])], times[2]).await;
    let newest_first = [times[2], times[1], times[0]];
    assert_eq!(recent(&store, 1, times[2]).await, newest_first);
    assert_eq!(recent(&store, 2, times[2]).await, [times[2]]);
    assert!(recent(&store, 3, times[2]).await.is_empty());
    let two = Arc::clone(&store).recent(addr(1), 2, times[2]).await;
    assert_eq!(two.expect("the store works").len(), 2);
    assert_eq!(recent(&store, 1, START + kept).await, newest_first[..2]);
    record(
        &store,
        vec![violation(9, START + kept + SECOND)],
        START + kept + SECOND,
    )
    .await;
    assert_eq!(recent(&store, 1, START + kept + SECOND).await, [times[2]]);
}

/// Address, time, endpoint and request id come back as they went in.
pub async fn violations_have_what_they_were_recorded_with<S: ViolationStore>(store: Arc<S>) {
    let v6: std::net::IpAddr = "2001:db8:1:2:3::4".parse().expect("an address");
    let id = "a.b_c~d:e/f+g=h@i-j".parse().expect("a request id");
    let rows = [
        Violation::new(v6, START, "POST /ü\"\\'\u{1f}|,{}[]\n%s").with_request_id(Some(id)),
        Violation::new(v6, START - 1, ""),
    ];
    record(&store, rows.to_vec(), START).await;
    let prefix = rows[0].prefix();
    assert_eq!(prefix.to_string(), "2001:db8:1:2::/64");
    let found = Arc::clone(&store).recent(prefix, 10, START).await;
    assert_eq!(found.expect("the store works"), rows);
}

/// Not by the tenth, by the eleventh, and not by the twelfth.
pub async fn the_eleventh_violation_passes_the_threshold_once<S: ViolationStore>(store: Arc<S>) {
    for number in 0..30 {
        let at = START + number * SECOND;
        let others = violation((100 + number) as u8, at);
        let passed = record(&store, vec![others, violation(1, at)], at).await;
        let expected: &[Cidr] = if number == 10 { &[addr(1)] } else { &[] };
        assert_eq!(passed, expected, "violation {}", number + 1);
    }
}

/// When there are ten or fewer in five minutes, the next eleventh passes it again.
pub async fn a_passed_threshold_is_armed_again<S: ViolationStore>(store: Arc<S>) {
    let eleven = |at| (0..11).map(|_| violation(1, at)).collect::<Vec<_>>();
    assert_eq!(record(&store, eleven(START), START).await, [addr(1)]);
    let soon = START + 299 * SECOND;
    assert!(record(&store, eleven(soon), soon).await.is_empty());
    let later = soon + 300 * SECOND;
    assert_eq!(record(&store, eleven(later), later).await, [addr(1)]);
}

/// By the times in the rows, there are never eleven within five minutes.
pub async fn violations_that_come_out_of_order_alert_nobody_early<S: ViolationStore>(
    store: Arc<S>,
) {
    let times = (0..40).map(|number| START + (number * 17 % 40) * 30 * SECOND);
    for at in times {
        assert!(
            record(&store, vec![violation(1, at)], START)
                .await
                .is_empty()
        );
    }
}

/// As many rows as are ever written at a time, of as many addresses.
pub async fn a_thousand_rows_are_one_step<S: ViolationStore>(store: Arc<S>) {
    let row = |number: u32| {
        let client = std::net::IpAddr::from((number % 500).to_be_bytes());
        Violation::new(client, START + i64::from(number), "GET /")
    };
    for round in 1..=6 {
        let passed = record(&store, (0..1_000).map(row).collect(), START).await;
        let expected = if round == 6 { 500 } else { 0 };
        assert_eq!(passed.len(), expected, "round {round}");
    }
    let first = Cidr::from(std::net::IpAddr::from([0, 0, 0, 7]));
    let found = Arc::clone(&store).recent(first, 1_000, START).await;
    assert_eq!(found.expect("the store works").len(), 12);
}

/// Of three instances that record at once, one sees the eleventh.
pub async fn many_who_record_at_the_same_time_see_one_eleventh<S: ViolationStore>(store: Arc<S>) {
    let of_each = async || {
        let mut passed = 0;
        for number in 0..8 {
            let at = START + number * SECOND;
            passed += record(&store, vec![violation(1, at)], at).await.len();
        }
        passed
    };
    let passed = together([of_each(), of_each(), of_each()]).await;
    assert_eq!(passed.iter().sum::<usize>(), 1);
}

/// What was imposed is what is told.
pub async fn a_block_is_told_to_whoever_asks<S: BlockStore>(store: Arc<S>) {
    let (start, none) = changes(&store, Position::default()).await;
    assert!(none.is_empty() && start.epoch != 0);
    let stands = impose(&store, block(1), START).await;
    assert_eq!(
        stands,
        Entry {
            version: stands.version,
            ..block(1)
        }
    );
    assert!(stands.version > 0);
    let (position, told) = changes(&store, start).await;
    assert_eq!(told, [stands]);
    assert_eq!(changes(&store, position).await, (position, Vec::new()));
}

/// Whoever follows hears of each change once, and of each prefix what it is by then.
pub async fn every_change_has_the_next_version_and_is_told_once<S: BlockStore>(store: Arc<S>) {
    let (mut position, _) = changes(&store, Position::default()).await;
    let mut version = 0;
    for number in 0..20 {
        let stands = impose(&store, block(number % 3), START).await;
        assert!(stands.version > version);
        version = stands.version;
        let (next, told) = changes(&store, position).await;
        assert_eq!(told, [stands]);
        assert_eq!(next.epoch, position.epoch);
        position = next;
    }
    let (_, all) = changes(&store, Position::default()).await;
    assert_eq!(all.len(), 3);
    assert!(all.is_sorted_by_key(|entry| entry.version));
}

/// Whatever was said before.
pub async fn the_last_word_of_somebody_counts<S: BlockStore>(store: Arc<S>) {
    let effects = [
        Effect::Block,
        Effect::Allow,
        Effect::Block,
        Effect::Lifted,
        Effect::Allow,
    ];
    for effect in effects {
        let stands = impose(&store, entry(1, effect, Cause::Manual, None), START).await;
        assert_eq!(stands.effect, effect);
    }
    let short = entry(1, Effect::Block, Cause::Manual, Some(START + SECOND));
    assert_eq!(
        impose(&store, short, START).await.until_micros,
        Some(START + SECOND)
    );
}

/// And to one that lasts longer, and takes the place of everything else.
pub async fn an_automatic_block_yields_to_somebody<S: BlockStore>(store: Arc<S>) {
    let automatic = |number, until| {
        entry(
            number,
            Effect::Block,
            Cause::Automatic,
            Some(START + until * SECOND),
        )
    };
    let manual = |number, effect, until: Option<i64>| {
        entry(
            number,
            effect,
            Cause::Manual,
            until.map(|until| START + until * SECOND),
        )
    };
    for (before, stays) in [
        (manual(1, Effect::Allow, None), true),
        (manual(2, Effect::Block, None), true),
        (manual(3, Effect::Block, Some(5)), true),
        (automatic(4, 60), true),
        (automatic(5, 100), true),
        (automatic(6, 59), false),
        (manual(7, Effect::Lifted, None), false),
        (manual(8, Effect::Block, Some(0)), false),
        (manual(9, Effect::Allow, Some(-5)), false),
    ] {
        let before = Entry {
            forgotten_micros: i64::MAX,
            ..before
        };
        let before = impose(&store, before, START).await;
        let last_octet = before.prefix.to_string();
        let new = Entry {
            prefix: before.prefix,
            ..automatic(0, 60)
        };
        let stands = impose(&store, new.clone(), START).await;
        if stays {
            assert_eq!(stands, before, "{last_octet}");
        } else {
            assert_eq!(
                stands,
                Entry {
                    version: stands.version,
                    ..new
                },
                "{last_octet}"
            );
            assert!(stands.version > before.version);
        }
    }
}

/// All of them, none twice, none missing.
pub async fn changes_come_in_pages<S: BlockStore>(store: Arc<S>) {
    let entries = (0..2_500u32).map(|number| Entry {
        prefix: Cidr::from(std::net::IpAddr::from(number.to_be_bytes())),
        ..block(0)
    });
    let entries: Vec<Entry> = entries.collect();
    for page in entries.chunks(1_000) {
        let stand = Arc::clone(&store).impose(page.to_vec(), START).await;
        assert_eq!(stand.expect("the store works").len(), page.len());
    }
    let (mut position, mut seen) = (Position::default(), HashSet::new());
    loop {
        let (next, told) = changes(&store, position).await;
        assert!(told.len() <= PAGE);
        let full = told.len() == PAGE;
        assert!(told.into_iter().all(|entry| seen.insert(entry.prefix)));
        position = next;
        if !full {
            break;
        }
    }
    assert_eq!(seen.len(), entries.len());
}

/// It is told everything.
pub async fn a_position_of_another_epoch_knows_nothing<S: BlockStore>(store: Arc<S>) {
    impose(&store, block(1), START).await;
    let (position, _) = changes(&store, Position::default()).await;
    let other = Position {
        epoch: position.epoch.wrapping_add(2),
        version: position.version + 1_000,
    };
    let (told, entries) = changes(&store, other).await;
    assert_eq!((told, entries.len()), (position, 1));
}

/// By the time that the caller says it is.
pub async fn what_is_forgotten_is_gone_and_nothing_else<S: BlockStore>(store: Arc<S>) {
    let (position, _) = changes(&store, Position::default()).await;
    for (number, seconds) in [(1, 10), (2, 20), (3, 30)] {
        let until = Some(START + seconds * SECOND);
        impose(
            &store,
            entry(number, Effect::Block, Cause::Manual, until),
            START,
        )
        .await;
    }
    impose(&store, block(4), START + 25 * SECOND).await;
    let (_, left) = changes(&store, position).await;
    let left: Vec<Cidr> = left.iter().map(|entry| entry.prefix).collect();
    assert!(left.ends_with(&[addr(3), addr(4)]), "{left:?}");
}

/// Every field comes back as it went in.
pub async fn entries_have_what_they_were_imposed_with<S: BlockStore>(store: Arc<S>) {
    let entry = Entry {
        prefix: "2001:db8:1::/48".parse().expect("a prefix"),
        effect: Effect::Block,
        cause: Cause::Automatic,
        reason: "ü\"\\'\u{1f}|,{}[]\n%s".into(),
        actor: "".into(),
        since_micros: START - 7,
        until_micros: Some(START + 8),
        level: 9,
        forgotten_micros: START + 10,
        version: 0,
    };
    let first = impose(&store, entry.clone(), START).await;
    assert_eq!(
        first,
        Entry {
            version: first.version,
            ..entry
        }
    );
    let everything = Entry {
        prefix: "0.0.0.0/0".parse().expect("a prefix"),
        until_micros: None,
        forgotten_micros: i64::MAX,
        ..first.clone()
    };
    let second = impose(&store, everything.clone(), START).await;
    let (_, told) = changes(&store, Position::default()).await;
    assert_eq!(
        told,
        [
            first,
            Entry {
                version: second.version,
                ..everything
            }
        ]
    );
}

/// None is told with a version below one that was told before.
pub async fn many_who_impose_at_the_same_time_get_different_versions<S: BlockStore>(store: Arc<S>) {
    let of_each = async |from: u8| {
        let (mut position, mut told) = (Position::default(), Vec::new());
        for number in 0..10 {
            impose(&store, block(from + number), START).await;
            let (next, entries) = changes(&store, position).await;
            told.extend(
                entries
                    .into_iter()
                    .map(|entry| (entry.version, entry.prefix)),
            );
            position = next;
        }
        told.extend(
            (changes(&store, position).await.1)
                .iter()
                .map(|entry| (entry.version, entry.prefix)),
        );
        assert!(told.is_sorted());
        told.len()
    };
    let _ = together([of_each(0), of_each(50), of_each(100)]).await;
    let (_, all) = changes(&store, Position::default()).await;
    let versions: HashSet<u64> = all.iter().map(|entry| entry.version).collect();
    assert_eq!((all.len(), versions.len()), (30, 30));
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
