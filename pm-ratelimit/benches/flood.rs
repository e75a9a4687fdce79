//! Ten million new subjects against a store with room for a million, while one honest client goes
//! on asking: what it waits for, what memory is taken, and whether anybody limited is let go.
//!
//! Run with `cargo bench -p pm-ratelimit --bench flood`

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pm_core::Clock;
use pm_ratelimit::{Limiter, MemoryStore, Quota, Subject};

const ROOM: u64 = 1_000_000;

/// Subjects that have used up their quota before the flood.
const LIMITED: u64 = 1_000;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let scale = if std::env::args().any(|arg| arg == "--bench") {
        1
    } else {
        1_000
    };
    let (room, flood) = (ROOM / scale, 10 * ROOM / scale);
    let before = resident();
    let store = Arc::new(MemoryStore::bounded(room as usize));
    let strict = Limiter::in_store(store.clone(), Quota::per_day(1));
    let honest = Limiter::in_store(store.clone(), Quota::per_second(1_000_000).burst(u32::MAX));
    let allows = |number| {
        let verdict = strict.try_check(&Subject::new().connection(number), 1);
        verdict.is_some_and(|verdict| verdict.is_allowed())
    };
    let limited = flood..flood + LIMITED;
    let admitted = limited.clone().filter(|number| allows(*number)).count();
    assert_eq!(admitted as u64, LIMITED, "the store has room for them");

    let clock = Clock::system();
    let ended = AtomicBool::new(false);
    let mut waits = Vec::with_capacity(1 << 26);
    let mut took = 0.0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let start = clock.now();
            for number in 0..flood {
                allows(number);
            }
            let elapsed = clock.now().saturating_duration_since(start);
            took = elapsed.as_nanos() as f64 / flood as f64;
            ended.store(true, Ordering::Release);
        });
        let subject = Subject::user("ada");
        while !ended.load(Ordering::Acquire) && waits.len() < waits.capacity() {
            let start = clock.now();
            let verdict = honest.try_check(&subject, 1);
            let wait = clock.now().saturating_duration_since(start);
            assert!(verdict.is_some_and(|verdict| verdict.is_allowed()));
            waits.push(u32::try_from(wait.as_nanos()).unwrap_or(u32::MAX));
        }
    });
    let asked = waits.len();
    waits.sort_unstable();
    let percentile = |of_thousand: usize| waits[(asked * of_thousand / 1_000).min(asked - 1)];
    let (usual, slow) = (percentile(500), percentile(999));
    let freed = limited.filter(|number| allows(*number)).count();
    drop(waits);
    let bytes = resident().saturating_sub(before) as f64 / room as f64;
    let overflowed = store.stats().overflowed;

    let mut out = std::io::stdout().lock();
    let mut report = |what: &str, measured: String, holds: bool| {
        let verdict = if holds { "holds" } else { "FALLS SHORT" };
        writeln!(out, "flood | {what} | {measured} | {verdict}")
            .expect("the terminal takes a line");
    };
    report(
        "limited subjects that were let go",
        format!("{freed} of {LIMITED}, at most 0"),
        freed == 0,
    );
    // A small store is lost in what the allocator keeps.
    report(
        "resident memory for each bucket there is room for",
        format!("{bytes:.1} bytes, at most 64"),
        bytes <= 64.0 || scale > 1,
    );
    report(
        "an honest client meanwhile, p99.9",
        format!("{slow} ns (p50 {usual} ns, {asked} asked), at most 5000"),
        slow <= 5_000,
    );
    report(
        "one of the flood",
        format!("{took:.0} ns, {overflowed} without a place of its own"),
        overflowed > 0,
    );
}

/// Bytes of this process that are in memory, where Linux says so; 0 elsewhere.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|line| line.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4_096
}
