//! What is recorded of refusals, and when it becomes too much.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Request, Response};
use pm_core::{Cidr, Clock, Context, ManualTime, PeerAddr};
use pm_ratelimit::in_flight::{Concurrency, InFlightLayer};
use pm_ratelimit::violations::{Scope, Threshold};
use pm_ratelimit::{
    Alert, By, Error, Incident, Limiter, Op, PolicyName, Quota, RefusalObserver, Rule, Rules,
    Stage, Subject, Violation, ViolationStore, Violations, guard,
};
use pm_testing::{Log, ServiceProbe, drive};
use proptest::prelude::*;
use tower::{Layer, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);

fn addr(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(number).into()
}

/// Instances with one store and one clock, and what they were alerted of.
struct Fleet {
    instances: Vec<Violations>,
    alerts: Arc<Mutex<Vec<Alert>>>,
    clock: Clock,
    time: ManualTime,
}

impl Fleet {
    fn new(instances: usize) -> Self {
        let (clock, time) = Clock::manual();
        let store = Arc::new(guard::MemoryStore::new());
        let alerts = Arc::<Mutex<Vec<Alert>>>::default();
        let instances = (0..instances).map(|_| {
            let alerts = Arc::clone(&alerts);
            Violations::builder()
                .store(store.clone())
                .clock(clock.clone())
                .on_alert(move |alert| alerts.lock().unwrap().push(*alert))
                .build()
        });
        Self {
            instances: instances.collect(),
            alerts,
            clock,
            time,
        }
    }

    fn refuse(&self, instance: usize, client: IpAddr) {
        self.instances[instance].refused(&Incident::new("/").client(client));
    }

    fn flush(&self) {
        for instance in &self.instances {
            drive(instance.flush()).unwrap();
        }
    }

    fn alerts(&self, scope: Scope) -> usize {
        let alerts = self.alerts.lock().unwrap();
        alerts.iter().filter(|alert| alert.scope == scope).count()
    }
}

fn limiter(clock: &Clock, violations: &Violations) -> Limiter {
    let rules = Rules::new().rule("all", Rule::always().quota(Quota::per_day(1)));
    Limiter::builder(rules)
        .clock(clock.clone())
        .observer(violations.clone())
        .build()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// By whichever way it is refused, a request leaves its address, its path and its time.
    #[test]
    fn p004_15_every_refusal_is_recorded_with_address_path_and_time(
        refusals in proptest::collection::vec((0u32..5, "/[a-z]{1,8}", 0u64..100, any::<bool>()), 1..40),
    ) {
        let fleet = Fleet::new(1);
        let violations = &fleet.instances[0];
        let limiter = limiter(&fleet.clock, violations);
        let (probe, _) = ServiceProbe::new(|_: Request<()>| Response::new(()));
        let service = limiter.layer(Stage::Identified).layer(probe);
        // From here on everybody is refused.
        drive(service.clone().oneshot(request(0, "/", "first"))).unwrap();
        for other in 1..5 {
            let _ = limiter.try_check(&Subject::at(addr(other)), 1);
        }
        let mut expected: HashMap<u32, Vec<(String, i64, Option<String>)>> = HashMap::new();
        for (number, (client, path, wait, by_check)) in refusals.iter().enumerate() {
            fleet.time.advance(Duration::from_millis(*wait));
            let at = fleet.clock.wall_micros();
            let (endpoint, id) = if *by_check {
                let verdict = limiter.try_check(&Subject::at(addr(*client)), Op::new("task.update"));
                prop_assert!(verdict.is_some_and(|verdict| !verdict.is_allowed()));
                ("task.update".to_owned(), None)
            } else {
                let id = format!("req-{number}");
                drive(service.clone().oneshot(request(*client, path, &id))).unwrap();
                (format!("GET {path}"), Some(id))
            };
            expected.entry(*client).or_default().push((endpoint, at, id));
        }
        fleet.flush();
        for client in 0..5 {
            let found = drive(violations.recent(addr(client), 100)).unwrap();
            let found: Vec<_> = (found.iter().rev())
                .map(|row| {
                    assert_eq!(row.addr(), addr(client));
                    let id = row.request_id().map(|id| id.as_str().to_owned());
                    (row.endpoint().to_owned(), row.at_micros(), id)
                })
                .collect();
            let mut expected = expected.remove(&client).unwrap_or_default();
            let (mut found, by_time) = (found, |a: &(String, i64, Option<String>)| a.clone());
            found.sort_by_key(by_time);
            expected.sort_by_key(by_time);
            prop_assert_eq!(found, expected);
        }
    }

    /// Whatever the instances are told and whenever they flush, an alert of the fleet is behind
    /// eleven violations within five minutes.
    #[test]
    fn p004_16_the_fleet_is_never_alerted_early(
        steps in proptest::collection::vec((0usize..3, 0u64..60, any::<bool>()), 1..150),
    ) {
        let fleet = Fleet::new(3);
        let (mut times, mut now, mut due) = (Vec::<u64>::new(), 0, false);
        for (instance, wait, flush) in steps {
            fleet.time.advance(Duration::from_secs(wait));
            now += wait;
            fleet.refuse(instance, addr(7));
            times.push(now);
            due |= times.len() > 10 && now - times[times.len() - 11] < 300;
            if flush {
                fleet.flush();
            }
            let alerts = fleet.alerts(Scope::Fleet);
            prop_assert!(alerts == 0 || due);
        }
    }

    /// With a flush behind each, every alert and every re-arming is that of a model.
    #[test]
    fn p004_16_the_fleet_is_alerted_as_often_as_one_instance_with_all_of_it_would_be(
        steps in proptest::collection::vec((0usize..3, 0u64..60), 1..150),
    ) {
        let (fleet, alone) = (Fleet::new(3), Fleet::new(1));
        for (instance, wait) in steps {
            fleet.time.advance(Duration::from_secs(wait));
            alone.time.advance(Duration::from_secs(wait));
            fleet.refuse(instance, addr(7));
            alone.refuse(0, addr(7));
            fleet.flush();
            prop_assert_eq!(fleet.alerts(Scope::Fleet), alone.alerts(Scope::Instance));
        }
    }
}

fn request(client: u32, path: &str, id: &str) -> Request<()> {
    Request::builder()
        .uri(path)
        .extension(PeerAddr((addr(client), 5).into()))
        .extension(Context::new(id.parse().unwrap()))
        .body(())
        .unwrap()
}

#[test]
fn p004_16_the_alert_fires_on_the_eleventh_refused_request() {
    let fleet = Fleet::new(1);
    let limiter = limiter(&fleet.clock, &fleet.instances[0]);
    let log = Log::capture(tracing::Level::WARN);
    let subject = Subject::at(addr(0x0a00_0001));
    assert!(limiter.try_check(&subject, 1).unwrap().is_allowed());
    for refused in 1..=25 {
        fleet.time.advance(SECOND);
        assert!(!limiter.try_check(&subject, 1).unwrap().is_allowed());
        assert_eq!(fleet.alerts(Scope::Instance), usize::from(refused >= 11));
    }
    let alert = fleet.alerts.lock().unwrap()[0];
    assert_eq!(alert.prefix.to_string(), "10.0.0.1/32");
    let lines = log.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("an address is refused too often prefix=10.0.0.1/32"));
}

#[test]
fn p004_16_eleven_over_three_instances_alert_the_fleet_once_and_no_instance() {
    let fleet = Fleet::new(3);
    for number in 0..10 {
        fleet.refuse(number % 3, addr(7));
        fleet.time.advance(SECOND);
        fleet.flush();
    }
    assert_eq!(fleet.alerts(Scope::Fleet), 0, "never on the tenth");
    fleet.refuse(1, addr(7));
    assert_eq!(fleet.alerts(Scope::Fleet), 0);
    fleet.flush();
    assert_eq!(fleet.alerts(Scope::Fleet), 1);
    for number in 0..30 {
        fleet.refuse(number % 3, addr(7));
        fleet.flush();
    }
    assert_eq!(fleet.alerts(Scope::Fleet), 1);
    assert_eq!(
        fleet.alerts(Scope::Instance),
        3,
        "each has seen eleven by now"
    );
    fleet.time.advance(Duration::from_secs(300));
    for number in 0..11 {
        fleet.refuse(number % 3, addr(7));
    }
    fleet.flush();
    assert_eq!(fleet.alerts(Scope::Fleet), 2, "re-armed");
}

#[test]
fn an_ipv6_customer_is_one_address() {
    let fleet = Fleet::new(1);
    for host in 0..11u16 {
        let client = std::net::Ipv6Addr::new(0x2001, 0xdb8, 1, 2, host, 0, 0, 1);
        fleet.refuse(0, client.into());
    }
    let alert = fleet.alerts.lock().unwrap()[0];
    assert_eq!(alert.prefix, "2001:db8:1:2::/64".parse::<Cidr>().unwrap());
}

#[test]
fn nobody_is_told_of_what_is_not_the_callers_doing() {
    #[derive(Debug)]
    struct Down;

    #[async_trait]
    impl pm_ratelimit::RateLimitStore for Down {
        fn try_decide(
            &self,
            _: &[pm_ratelimit::Charge],
            _: pm_core::Tick,
        ) -> Option<pm_ratelimit::Decision> {
            None
        }

        async fn decide(
            self: Arc<Self>,
            _: pm_ratelimit::Charges,
            _: pm_core::Tick,
        ) -> Result<pm_ratelimit::Decision, Error> {
            Err(Error::TimedOut)
        }
    }

    let fleet = Fleet::new(1);
    let violations = &fleet.instances[0];
    let rule = Rule::on("GET /a").quota(Quota::per_day(1));
    let closed = rule.clone().if_store_fails(pm_ratelimit::OnFailure::Closed);
    let failing = Limiter::builder(Rules::new().rule("all", closed)).store(Down);
    let failing = failing.observer(violations.clone()).build().unwrap();
    let trial = Limiter::builder(Rules::new().rule("all", rule.shadow()));
    let trial = trial.observer(violations.clone()).build().unwrap();
    for (limiter, path) in [
        (&failing, "/a"),
        (&failing, "/a%zz"),
        (&trial, "/a"),
        (&trial, "/a"),
    ] {
        let (probe, _) = ServiceProbe::new(|_: Request<()>| Response::new(()));
        let service = limiter.layer(Stage::Identified).layer(probe);
        drive(service.oneshot(request(1, path, "id"))).unwrap();
    }
    assert_eq!(violations.stats().seen, 0);
    let op = Op::request(&Method::GET, "/a").unwrap();
    let verdict = drive(failing.check(&Subject::at(addr(1)), op));
    assert!(!verdict.is_allowed());
    assert_eq!(violations.stats().seen, 0);
}

#[test]
fn too_many_at_the_same_time_are_violations_too() {
    let fleet = Fleet::new(1);
    let violations = &fleet.instances[0];
    let sockets = Concurrency::new(PolicyName::from_static("sockets"), By::Client, 0);
    let layer = InFlightLayer::new(sockets).observer(violations.clone());
    let layer = layer.on_refusal(|refusal| refusal.problem().into_response());
    let (probe, _) = ServiceProbe::new(|_: Request<()>| Response::new(()));
    let service = layer.layer(probe);
    let response = drive(service.clone().oneshot(request(7, "/ws", "id-7"))).unwrap();
    assert_eq!(response.status(), 429);
    // From nowhere: that is not the caller's doing.
    drive(service.oneshot(Request::new(()))).unwrap();
    assert_eq!(violations.stats().seen, 1);
    fleet.flush();
    let recent = drive(violations.recent(addr(7), 9)).unwrap();
    assert_eq!(recent[0].endpoint(), "GET /ws");
    assert_eq!(recent[0].request_id().unwrap().as_str(), "id-7");
}

/// Counts what is written to it.
#[derive(Debug, Default)]
struct Counting {
    writes: AtomicUsize,
    largest: AtomicUsize,
    fails: bool,
}

#[async_trait]
impl ViolationStore for Counting {
    async fn record(
        self: Arc<Self>,
        rows: Vec<Violation>,
        _: Threshold,
        _: i64,
    ) -> Result<Vec<Cidr>, Error> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.largest.fetch_max(rows.len(), Ordering::SeqCst);
        if self.fails {
            return Err(Error::TimedOut);
        }
        Ok(Vec::new())
    }

    async fn recent(self: Arc<Self>, _: Cidr, _: usize, _: i64) -> Result<Vec<Violation>, Error> {
        Ok(Vec::new())
    }
}

/// A million addresses, and another one more often, in ten seconds.
#[tokio::test]
async fn a_flood_from_a_million_addresses_is_one_write_a_second_in_flat_memory() {
    let (clock, time) = Clock::manual();
    let store = Arc::new(Counting::default());
    let violations = Violations::builder()
        .store(store.clone())
        .clock(clock.clone())
        .build();
    let running = tokio::spawn(violations.clone().run());
    tokio::task::yield_now().await;
    let (addresses, rounds) = (1_000_000u32, 10u32);
    let flood = |round: u32| {
        for number in round * (addresses / 10)..(round + 1) * (addresses / 10) {
            let path = if number % 1_000 == 0 { "/rare" } else { "/" };
            violations.refused(&Incident::new(path).client(addr(number)));
            if number % 500 == 0 {
                violations.refused(&Incident::new("/").client(addr(u32::MAX)));
            }
        }
    };
    // What is fixed from the start or grows up to a bound is there after the first round.
    flood(0);
    let mut peak = 0;
    for round in 1..rounds {
        time.advance(SECOND);
        tokio::task::yield_now().await;
        let info = allocation_counter::measure(|| flood(round));
        peak = peak.max(info.bytes_current.unsigned_abs());
    }
    time.advance(SECOND);
    tokio::task::yield_now().await;
    running.abort();

    assert_eq!(store.writes.load(Ordering::SeqCst), rounds as usize);
    assert_eq!(store.largest.load(Ordering::SeqCst), 1_000);
    assert!(peak < 1_000_000, "it grew by {peak} bytes in a round");
    let stats = violations.stats();
    let total = u64::from(addresses) + u64::from(addresses) / 500;
    assert_eq!(
        (stats.seen, stats.dropped),
        (total, total - 1_000 * u64::from(rounds))
    );

    let worst = violations.top_offenders(1)[0];
    let exact = u64::from(addresses) / 500;
    assert_eq!(worst.prefix, Cidr::from(addr(u32::MAX)));
    assert!(
        worst.count >= exact && worst.count - worst.error <= exact,
        "{worst:?}"
    );
    assert!(worst.error <= total / 1_024, "{worst:?}");
    let endpoints = violations.last_hour();
    let rare = endpoints
        .iter()
        .find(|of| &*of.endpoint == "/rare")
        .unwrap();
    assert_eq!(rare.count, u64::from(addresses) / 1_000);
}

#[test]
fn what_a_store_fails_to_take_is_counted_and_not_sent_again() {
    let store = Arc::new(Counting {
        fails: true,
        ..Counting::default()
    });
    let violations = Violations::builder().store(store.clone()).build();
    for _ in 0..3 {
        violations.refused(&Incident::new("/").client(addr(1)));
    }
    assert!(drive(violations.flush()).is_err());
    assert!(
        drive(violations.flush()).is_ok(),
        "nothing was left to write"
    );
    assert_eq!(store.writes.load(Ordering::SeqCst), 1);
    assert_eq!(
        (violations.stats().seen, violations.stats().dropped),
        (3, 3)
    );
}

#[test]
fn an_endless_path_is_cut() {
    let violations = Violations::builder().build();
    let path = format!("/{}", "ü".repeat(100_000));
    violations.refused(&Incident::new(&path).method(&Method::GET).client(addr(1)));
    let endpoint = violations.last_hour()[0].endpoint.len();
    assert!((250..=256).contains(&endpoint), "{endpoint}");
}
