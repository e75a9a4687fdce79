//! What the log says of storage that is slow.
//!
//! Alone in its program: a test beside it that does not log may be what first asks whether a line is
//! wanted, and the answer is kept for the whole process.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::{sync::Arc, time::Duration};

use pm_core::Clock;
use pm_server::{store::Scope, sync::RingLimits, tenant::Tenant};
use pm_testing::Log;
use support::moody::{Mood, Moody, mutation};

#[tokio::test]
async fn a_call_above_100_ms_is_told_of_by_its_name() {
    let (clock, time) = Clock::manual();
    let moody = Moody::new(&clock);
    let tenant = Tenant::open(
        "acme",
        Arc::new(moody.clone()),
        RingLimits::default(),
        clock,
    );
    let tenant = tenant.await.unwrap();
    let log = Log::capture(tracing::Level::WARN);
    let pass = async |millis| {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        time.advance(Duration::from_millis(millis));
    };
    let takes = |millis| Mood::Takes(Duration::from_millis(millis));

    moody.reads(takes(99));
    let snapshot = tenant.log().snapshot(Scope::Tenant);
    assert!(tokio::join!(snapshot, pass(99)).0.is_ok());
    moody.reads(takes(150));
    let snapshot = tenant.log().snapshot(Scope::Tenant);
    assert!(tokio::join!(snapshot, pass(150)).0.is_ok());
    moody.writes(takes(230));
    let pending = tenant.writer().submit(mutation(1)).unwrap();
    pass(230).await;
    assert!(pending.await.unwrap().is_ok());

    let lines = log.lines();
    let slow: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("slow operation"))
        .collect();
    let [read, write] = &slow[..] else {
        panic!("not two: {lines:?}");
    };
    for part in [
        "storage.reads",
        "\"acme\"",
        "\"snapshot\"",
        "millis=150",
        "\"closed\"",
    ] {
        assert!(read.contains(part), "{read}");
    }
    for part in [
        "storage.writes",
        "\"acme\"",
        "\"apply\"",
        "millis=230",
        "\"write\"",
    ] {
        assert!(write.contains(part), "{write}");
    }
}
