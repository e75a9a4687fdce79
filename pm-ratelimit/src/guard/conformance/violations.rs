//! What every [`ViolationStore`] promises.

use std::sync::Arc;
use std::time::Duration;

use pm_core::Cidr;

use super::{SECOND, START, addr, together};
use crate::violations::{KEPT, Threshold, Violation, ViolationStore};

const ALERT: Threshold = Threshold::more_than(10, Duration::from_secs(300));

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
