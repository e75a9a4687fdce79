//! Every metric, by name and label, as a recorder sees it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use pm_core::degrade::State;
use pm_core::{Clock, Tick};
use pm_ratelimit::block::{AutoBlock, BlockList, Order};
use pm_ratelimit::emergency::{Emergency, Profile};
use pm_ratelimit::violations::Threshold;
use pm_ratelimit::{
    By, Charge, Charges, Decision, Error, Fallback, Incident, Limiter, MemoryStore, OnFailure,
    Quota, RateLimitStore, RefusalObserver, Rule, Rules, Subject, Violations, telemetry,
};
use pm_testing::drive;

#[derive(Default)]
struct Counts(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let mut counts = self.0.lock().expect("sound");
        Counter::from_arc(Arc::clone(counts.entry(name(key)).or_default()))
    }

    /// As the bits of a number.
    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        let _ = self.register_counter(key, metadata);
        let counts = self.0.lock().expect("sound");
        Gauge::from_arc(Arc::clone(&counts[&name(key)]))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

fn name(key: &Key) -> String {
    let labels: Vec<String> = key
        .labels()
        .map(|label| format!("{}={}", label.key(), label.value()))
        .collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

/// Once it is down, it is not asked.
#[derive(Debug)]
struct Down;

#[async_trait]
impl RateLimitStore for Down {
    fn try_decide(&self, _: &[Charge], _: Tick) -> Option<Decision> {
        None
    }

    async fn decide(self: Arc<Self>, _: Charges, _: Tick) -> Result<Decision, Error> {
        unreachable!("it is down")
    }

    fn state(&self) -> State {
        State::Down
    }
}

fn without_the_primary(rule: impl Fn(u32) -> Rule) {
    let open = rule(1).if_store_fails(OnFailure::Open);
    let closed = rule(1).if_store_fails(OnFailure::Closed);
    let both = Rules::new().rule("local", rule(1)).rule("open", open);
    for (rules, checks) in [(both, 2), (Rules::new().rule("closed", closed), 1)] {
        let limiter = Limiter::builder(rules)
            .store(Fallback::new(Down, MemoryStore::bounded(10)))
            .clock(Clock::manual().0)
            .build()
            .expect("valid rules");
        for _ in 0..checks {
            let _ = limiter.try_check(&Subject::user("ada"), 1);
        }
        assert_eq!(limiter.stats().degraded, checks);
    }
}

#[test]
fn what_happens_is_counted() {
    let counts = Counts::default();
    with_local_recorder(&counts, || {
        let rule = |tokens| Rule::always().by(By::User).quota(Quota::per_day(tokens));
        let rules = Rules::new()
            .rule("user", rule(2))
            .rule("trial", rule(1).shadow());
        let builder = Limiter::builder(rules.clone()).clock(Clock::manual().0);
        let limiter = builder.build().expect("valid rules");
        for cost in [1, 1, 1, 3] {
            let _ = limiter.try_check(&Subject::user("ada"), cost);
        }
        let _ = limiter.try_check(&Subject::new(), 1);
        without_the_primary(rule);
        limiter.reload(rules.clone()).expect("valid rules");
        assert!(limiter.reload(rules.rule("", rule(1))).is_err());
    });
    let counts = counts.0.lock().expect("sound");
    let counted: Vec<(String, u64)> = counts
        .iter()
        .map(|(name, count)| (name.clone(), count.load(Ordering::Relaxed)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let expected = [
        (
            telemetry::DECISIONS,
            "policy=closed,outcome=failed_closed",
            1,
        ),
        (telemetry::DECISIONS, "policy=local,outcome=allowed", 1),
        (telemetry::DECISIONS, "policy=local,outcome=refused", 1),
        (telemetry::DECISIONS, "policy=open,outcome=failed_open", 1),
        (telemetry::DECISIONS, "policy=trial,outcome=allowed", 1),
        (
            telemetry::DECISIONS,
            "policy=trial,outcome=shadow_refused",
            3,
        ),
        (telemetry::DECISIONS, "policy=user,outcome=allowed", 2),
        (telemetry::DECISIONS, "policy=user,outcome=never", 1),
        (telemetry::DECISIONS, "policy=user,outcome=refused", 1),
        (telemetry::DEGRADED, "policy=closed", 1),
        (telemetry::DEGRADED, "policy=local", 2),
        (telemetry::DEGRADED, "policy=open", 2),
        (telemetry::RELOADS, "outcome=applied", 1),
        (telemetry::RELOADS, "outcome=refused", 1),
        (telemetry::UNIDENTIFIED, "policy=trial", 1),
        (telemetry::UNIDENTIFIED, "policy=user", 1),
    ]
    .map(|(name, labels, count)| (format!("{name}{{{labels}}}"), count));
    assert_eq!(counted, expected);
    let readme = include_str!("../README.md");
    for name in [
        telemetry::VIOLATIONS,
        telemetry::VIOLATIONS_DROPPED,
        telemetry::VIOLATION_ALERTS,
        telemetry::BLOCKED,
        telemetry::BLOCKS,
        telemetry::BLOCK_STORE_FAILURES,
        telemetry::DECISIONS,
        telemetry::DEGRADED,
        telemetry::UNIDENTIFIED,
        telemetry::LOOKUP_FAILURES,
        telemetry::LEASED,
        telemetry::LEASES_OUTSTANDING,
        telemetry::RELOADS,
        telemetry::EMERGENCIES,
        telemetry::EMERGENCY,
    ] {
        assert!(
            readme.contains(&format!("`{name}`")),
            "{name} is not in the README"
        );
    }
}

#[test]
fn what_the_guard_does_is_counted() {
    let counts = Counts::default();
    with_local_recorder(&counts, || {
        let clock = Clock::manual().0;
        let violations = Violations::builder().clock(clock.clone()).build();
        let auto = AutoBlock::new().threshold(Threshold::more_than(10, Duration::from_secs(60)));
        let blocks = BlockList::builder().clock(clock).automatic(auto).build();
        let client = std::net::IpAddr::from([192, 0, 2, 1]);
        for _ in 0..11 {
            let incident = Incident::new("/").client(client);
            violations.refused(&incident);
            blocks.refused(&incident);
        }
        assert!(blocks.check(client).is_some());
        drive(violations.flush()).expect("memory");
        drive(blocks.block(Order::on(client.into()))).expect("memory");
    });
    let counts = counts.0.lock().expect("sound");
    let counted: Vec<(String, u64)> = counts
        .iter()
        .map(|(name, count)| (name.clone(), count.load(Ordering::Relaxed)))
        .collect();
    let expected = [
        (telemetry::BLOCKED, "", 1),
        (telemetry::BLOCKS, "cause=automatic", 1),
        (telemetry::BLOCKS, "cause=manual", 1),
        (telemetry::VIOLATION_ALERTS, "scope=fleet", 1),
        (telemetry::VIOLATION_ALERTS, "scope=instance", 1),
        (telemetry::VIOLATIONS, "", 11),
    ]
    .map(|(name, labels, count)| (format!("{name}{{{labels}}}"), count));
    assert_eq!(counted, expected);
}

#[test]
fn emergencies_are_counted_and_shown_while_they_last() {
    let counts = Counts::default();
    let gauge = format!("{}{{profile=storm}}", telemetry::EMERGENCY);
    let shown = || {
        let counts = counts.0.lock().expect("sound");
        f64::from_bits(counts[&gauge].load(Ordering::Relaxed))
    };
    with_local_recorder(&counts, || {
        let (clock, time) = Clock::manual();
        let emergency = Emergency::builder()
            .profile("storm", Profile::scale(1, 5))
            .clock(clock.clone())
            .build()
            .expect("valid");
        let rule = Rule::always().by(By::User).quota(Quota::per_day(10));
        let limiter = Limiter::builder(Rules::new().rule("user", rule))
            .emergency(emergency.clone())
            .clock(clock)
            .build()
            .expect("valid rules");
        let minute = Duration::from_secs(60);
        (emergency.enter("storm", minute, "ada", "")).expect("it is there");
        for _ in 0..3 {
            let _ = limiter.try_check(&Subject::user("ada"), 1);
        }
        assert_eq!(shown(), 1.0);
        time.advance(minute);
        let _ = limiter.try_check(&Subject::user("ada"), 1);
        assert_eq!(shown(), 0.0, "it is over by itself");
    });
    let counts = counts.0.lock().expect("sound");
    let count = |name: &str, labels: &str| {
        let count = counts.get(&format!("{name}{{{labels}}}"));
        count.map(|count| count.load(Ordering::Relaxed))
    };
    let declared = count(telemetry::EMERGENCIES, "profile=storm,cause=manual");
    assert_eq!(declared, Some(1));
    let decided = |outcome: &str| {
        count(
            telemetry::DECISIONS,
            &format!("policy=user,outcome={outcome}"),
        )
    };
    assert_eq!(
        (decided("allowed"), decided("reduced"), decided("refused")),
        (Some(3), Some(1), Some(0))
    );
}
