//! What it takes to know a hundred thousand prefixes: to load them, to change one, and the memory. What
//! a look-up takes is measured beside others in the package `benches`.
//!
//! Run with `cargo bench -p pm-ratelimit --bench block`

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use pm_core::{Cidr, Clock, Tick};
use pm_ratelimit::block::{Cause, Effect, Entry};
use pm_ratelimit::{AutoBlock, BlockList, BlockStore, Incident, RefusalObserver, guard};
use pm_testing::drive;

const DAY: i64 = 86_400_000_000;

/// Refusals that make a block.
const REFUSALS: usize = 50;

fn main() {
    // `cargo test --benches` only wants to know that it runs.
    let count = if std::env::args().any(|arg| arg == "--bench") {
        100_000
    } else {
        1_000
    };
    let clock = Clock::system();
    let took = |start: Tick| clock.now().saturating_duration_since(start);
    let mut out = std::io::stdout().lock();
    let mut report = |what: &str, measured: String, holds: bool| {
        let verdict = if holds { "holds" } else { "FALLS SHORT" };
        writeln!(out, "block | {what} | {measured} | {verdict}")
            .expect("the terminal takes a line");
    };

    let store = Arc::new(guard::MemoryStore::new());
    let now = clock.wall_micros();
    let entries = (0..count).map(|number| entry(Cidr::from(host(number)), now));
    drive(Arc::clone(&store).impose(entries.collect(), now)).expect("memory takes them");

    let mut list = None;
    let start = clock.now();
    let memory = allocation_counter::measure(|| {
        let builder = BlockList::builder().automatic(AutoBlock::new());
        let loaded = builder.store(store.clone()).build();
        drive(loaded.synchronize()).expect("memory answers");
        list = Some(loaded);
    });
    let loading = took(start) / (count / 1_000);
    let list = list.expect("it was just made");
    report(
        "a thousand changes at a time, up to a hundred thousand",
        format!("{loading:.1?}, at most 50 ms"),
        loading.as_millis() < 50,
    );
    let bytes = memory.bytes_current as f64 / f64::from(count);
    report(
        "memory for each prefix, with who said it and why",
        format!("{bytes:.0} bytes, at most 512"),
        bytes <= 512.0,
    );

    let mut changes: Vec<_> = (count..count + 101)
        .map(|number| {
            let incident = Incident::new("/").client(host(number));
            (1..REFUSALS).for_each(|_| list.refused(&incident));
            let start = clock.now();
            list.refused(&incident);
            took(start)
        })
        .collect();
    changes.sort_unstable();
    let change = changes[changes.len() / 2];
    assert!(list.check(host(count)).is_some(), "it is blocked");
    report(
        "an address is blocked for its violations, median",
        format!("{change:.1?}, at most 1 ms"),
        change.as_micros() < 1_000,
    );
}

fn entry(prefix: Cidr, now: i64) -> Entry {
    Entry {
        prefix,
        effect: Effect::Block,
        cause: Cause::Automatic,
        reason: "50 violations within 600s".into(),
        actor: "automatic".into(),
        since_micros: now,
        until_micros: Some(now + DAY),
        level: 1,
        forgotten_micros: now + 2 * DAY,
        version: 0,
    }
}

/// Spread over all addresses; none twice.
fn host(number: u32) -> IpAddr {
    number.wrapping_mul(0x9e37_79b1).to_be_bytes().into()
}
