//! What a breaker logs. One test, so that no other one decides what is logged at the same time.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::time::Duration;

use pm_core::{Clock, Context};
use pm_resilience::Outcome;
use pm_resilience::breaker::{Breaker, BreakerSettings, KeyedBreakers};
use pm_testing::Log;

const OPEN_FOR: Duration = Duration::from_secs(30);

fn fail(breaker: &Breaker, calls: usize) {
    for _ in 0..calls {
        breaker.try_acquire().unwrap().settle(Outcome::Failure);
    }
}

#[test]
fn every_transition_is_logged_once() {
    let log = Log::capture(tracing::Level::INFO);
    let (clock, time) = Clock::manual();
    let breaker = Breaker::new("test", BreakerSettings::new())
        .unwrap()
        .with_clock(clock);
    let context = Context::new("req-7".parse().expect("an id"));
    context.in_scope(|| fail(&breaker, 5));
    assert!(breaker.try_acquire().is_err(), "which is not logged");
    time.advance(OPEN_FOR);
    breaker.try_acquire().unwrap().settle(Outcome::Success);
    breaker.force_open("failover drill");
    breaker.force_open("again");
    let lines = log.lines();
    let expected: [&[&str]; 4] = [
        &[
            "WARN",
            "breaker=\"test\"",
            "from=\"closed\" to=\"open\"",
            "reason=\"consecutive_failures\"",
            "in_a_row=5",
            "open_for=30s",
            "request_id=req-7",
        ],
        &[
            "INFO",
            "from=\"open\" to=\"half_open\"",
            "reason=\"open_time_over\"",
        ],
        &[
            "INFO",
            "from=\"half_open\" to=\"closed\"",
            "reason=\"probes_passed\"",
        ],
        &[
            "WARN",
            "to=\"forced_open\"",
            "reason=\"forced\"",
            "note=\"failover drill\"",
        ],
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, parts) in lines.iter().zip(expected) {
        assert!(
            parts.iter().all(|part| line.contains(part)),
            "{line}\n{parts:?}"
        );
    }
    assert_eq!(breaker.stats().transitions, 4);

    let breakers = KeyedBreakers::new("hosts", BreakerSettings::new(), 10.try_into().unwrap());
    fail(&breakers.unwrap().get(&"db\n7"), 5);
    let line = log.lines().pop().unwrap();
    assert!(
        line.contains(r#"breaker="hosts" key="\"db\\n7\"""#),
        "{line}"
    );
}
