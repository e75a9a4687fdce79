//! Health, in virtual time.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Waker};
use std::time::Duration;

use http::Request;
use pm_core::{Clock, ManualTime};
use pm_resilience::health::{Check, CheckSettings, Health, HealthBuilder, Probe, Status, Weight};
use pm_resilience::shutdown::{Shutdown, ShutdownSettings, Signal};
use pm_testing::{Log, drive};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::ServiceExt;

const PASSES: u8 = 0;
const FAILS: u8 = 1;
const HANGS: u8 = 2;
const PANICS: u8 = 3;

/// A dependency that does what it is told.
#[derive(Clone, Default)]
struct Told(Arc<AtomicU8>);

impl Told {
    fn to(&self, what: u8) {
        self.0.store(what, Ordering::SeqCst);
    }

    fn check(&self, name: &str, weight: Weight) -> Check {
        let told = self.clone();
        Check::new(name, weight, move || {
            let what = told.0.load(Ordering::SeqCst);
            async move {
                match what {
                    PASSES => Ok(()),
                    FAILS => Err(io::Error::other("password=hunter2")),
                    HANGS => pending().await,
                    _ => panic!("a check of a test"),
                }
            }
        })
    }
}

/// Checks every 5 s, polled by hand.
struct Running {
    health: Health,
    run: Pin<Box<dyn Future<Output = ()>>>,
    time: ManualTime,
}

impl Running {
    fn new(builder: HealthBuilder) -> Self {
        let (clock, time) = Clock::manual();
        let health = builder.clock(clock).build().unwrap();
        let handle = health.clone();
        Self {
            health,
            run: Box::pin(async move { match handle.run().await {} }),
            time,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.time.advance(time);
        self.poll();
    }

    /// Until the next check has begun, and ended unless it hangs.
    fn round(&mut self) {
        self.pass(Duration::from_secs(5));
    }

    fn poll(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(self.run.as_mut().poll(&mut cx).is_pending());
    }

    fn status(&self) -> Status {
        self.health.dependencies()[0].status
    }

    fn answer(&self, probe: Probe) -> (u16, Value) {
        let response = self.health.response(probe);
        assert_eq!(
            response.headers()["content-type"],
            "application/health+json"
        );
        assert_eq!(response.headers()["cache-control"], "no-store");
        let body = serde_json::from_slice(response.body()).unwrap();
        (response.status().as_u16(), body)
    }
}

fn one(weight: Weight) -> (Told, Running) {
    let told = Told::default();
    let builder = Health::builder().check(told.check("database", weight));
    (told, Running::new(builder))
}

#[test]
fn before_anything_is_known_it_lives_and_is_not_ready() {
    let (_, running) = one(Weight::Critical);
    assert_eq!(
        running.answer(Probe::Live),
        (200, json!({"status": "pass"}))
    );
    assert_eq!(running.answer(Probe::Ready).0, 503);
    assert_eq!(running.answer(Probe::Startup).0, 503);
    assert_eq!(running.status(), Status::Unknown);
}

#[test]
fn one_check_that_passes_makes_it_ready_and_started() {
    let (_, mut running) = one(Weight::Critical);
    running.poll();
    assert_eq!(running.answer(Probe::Startup).0, 200);
    let (status, body) = running.answer(Probe::Ready);
    assert_eq!(status, 200);
    assert_eq!(
        body,
        json!({"status": "pass", "checks": {"database:responseTime": [{
            "status": "pass", "state": "up", "critical": true,
            "observedValue": 0.0, "observedUnit": "ms", "ageSeconds": 0.0,
        }]}})
    );
}

#[test]
fn it_takes_two_failures_in_a_row_to_be_down_and_one_success_to_be_up() {
    let (told, mut running) = one(Weight::Critical);
    running.poll();
    for _ in 0..3 {
        told.to(FAILS);
        running.round();
        assert_eq!(running.status(), Status::Up, "one failure is none");
        told.to(PASSES);
        running.round();
    }
    told.to(FAILS);
    running.round();
    running.round();
    assert_eq!(running.status(), Status::Down);
    assert_eq!(running.answer(Probe::Ready).0, 503);
    assert_eq!(
        running.answer(Probe::Live).0,
        200,
        "it is not restarted for it"
    );
    assert_eq!(running.answer(Probe::Startup).0, 200, "it has started once");
    told.to(PASSES);
    running.round();
    assert_eq!(running.answer(Probe::Ready).0, 200);
}

#[test]
fn being_up_takes_as_many_successes_in_a_row_as_it_is_told() {
    let told = Told::default();
    let settings = CheckSettings::new().with_successes(2.try_into().unwrap());
    let check = told.check("database", Weight::Critical);
    let mut running = Running::new(Health::builder().check(check.with_settings(settings)));
    for what in [FAILS, PASSES, FAILS, PASSES] {
        told.to(what);
        running.round();
        assert_ne!(running.status(), Status::Up);
    }
    running.round();
    assert_eq!(running.status(), Status::Up);
}

#[test]
fn what_is_not_critical_only_warns() {
    let (told, mut running) = one(Weight::Degraded);
    assert_eq!(
        running.answer(Probe::Startup).0,
        200,
        "nothing critical to wait for"
    );
    told.to(FAILS);
    running.round();
    running.round();
    let (status, body) = running.answer(Probe::Ready);
    assert_eq!((status, &body["status"]), (200, &json!("warn")));
    assert_eq!(body["checks"]["database:responseTime"][0]["state"], "down");
}

#[test]
fn a_check_that_hangs_fails_by_its_time_out_and_holds_up_no_other() {
    let (hangs, works) = (Told::default(), Told::default());
    let mut running = Running::new(
        Health::builder()
            .check(hangs.check("hangs", Weight::Degraded))
            .check(works.check("works", Weight::Critical)),
    );
    hangs.to(HANGS);
    running.poll();
    assert_eq!(running.answer(Probe::Ready).0, 200);
    for time in [2, 5, 2] {
        running.pass(Duration::from_secs(time));
    }
    let known = running.health.dependencies();
    assert_eq!(
        (known[0].status, known[1].status),
        (Status::Down, Status::Up)
    );
    assert_eq!(known[0].latency, Some(Duration::from_secs(2)));
}

#[test]
fn what_is_known_grows_old() {
    let (_, mut running) = one(Weight::Critical);
    running.poll();
    // Nobody runs the checks any more; twice 5 s and 2 s is as long as it counts.
    running.time.advance(Duration::from_secs(14));
    assert_eq!(running.answer(Probe::Ready).0, 200);
    running.time.advance(Duration::from_nanos(1));
    assert_eq!(running.status(), Status::Stale);
    assert_eq!(running.answer(Probe::Ready).0, 503);
    running.poll();
    assert_eq!(running.answer(Probe::Ready).0, 200);
}

#[test]
fn a_check_that_panics_has_failed_and_is_asked_again() {
    let (told, mut running) = one(Weight::Critical);
    told.to(PANICS);
    running.poll();
    running.round();
    assert_eq!(running.status(), Status::Down);
    told.to(PASSES);
    running.round();
    assert_eq!(running.status(), Status::Up);
}

#[test]
fn ready_says_no_as_soon_as_it_is_asked_to_stop() {
    let (clock, _time) = Clock::manual();
    let shutdown = Shutdown::new(ShutdownSettings::default())
        .unwrap()
        .with_clock(clock);
    let mut running = Running::new(Health::builder().drain(shutdown.drain()));
    running.poll();
    assert_eq!(running.answer(Probe::Ready).0, 200);
    let signals = futures_util::stream::iter([Signal::Terminate]);
    let mut down = Box::pin(shutdown.run(signals));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(down.as_mut().poll(&mut cx).is_pending());
    let (status, body) = running.answer(Probe::Ready);
    assert_eq!((status, &body["output"]), (503, &json!("stopping")));
    assert_eq!(running.answer(Probe::Live).0, 200);
}

#[test]
fn no_error_is_in_an_answer_and_each_change_is_logged_once() {
    let log = Log::capture(tracing::Level::INFO);
    let (told, mut running) = one(Weight::Critical);
    running.poll();
    told.to(FAILS);
    for _ in 0..4 {
        running.round();
    }
    let answer = running.health.response(Probe::Ready);
    assert!(!String::from_utf8_lossy(answer.body()).contains("hunter2"));
    told.to(PASSES);
    running.round();
    let lines = log.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines[1].contains("WARN") && lines[1].contains("down"),
        "{lines:?}"
    );
    assert!(lines[1].contains("hunter2"), "the log says why");
}

#[test]
fn who_waits_for_the_start_is_told() {
    let (told, mut running) = one(Weight::Critical);
    told.to(FAILS);
    let health = running.health.clone();
    let mut started = Box::pin(health.started());
    let mut cx = Context::from_waker(Waker::noop());
    running.round();
    assert!(started.as_mut().poll(&mut cx).is_pending());
    told.to(PASSES);
    running.round();
    assert!(started.as_mut().poll(&mut cx).is_ready());
}

#[test]
fn a_service_answers_whatever_it_is_asked() {
    let (_, mut running) = one(Weight::Critical);
    let service = running.health.service(Probe::Ready);
    let ask = || drive(service.clone().oneshot(Request::new(()))).unwrap();
    assert_eq!(ask().status(), 503);
    running.poll();
    assert_eq!(ask().status(), 200);
    assert!(ask().body().contains("\"pass\""));
}

#[test]
fn settings_change_and_what_is_known_stays() {
    let (told, mut running) = one(Weight::Critical);
    running.poll();
    let rare = CheckSettings::new()
        .with_every(Duration::from_secs(60))
        .with_failures(1.try_into().unwrap());
    running.health.reload("database", rare.clone()).unwrap();
    assert_eq!(running.status(), Status::Up);
    told.to(FAILS);
    running.round();
    assert_eq!(running.status(), Status::Down);
    told.to(PASSES);
    running.pass(Duration::from_secs(59));
    assert_eq!(
        running.status(),
        Status::Down,
        "the next one is in a minute"
    );
    running.pass(Duration::from_secs(1));
    assert_eq!(running.status(), Status::Up);
    assert_eq!(
        running.health.reload("other", rare).unwrap_err().field(),
        "other"
    );
    let never = CheckSettings::new().with_every(Duration::ZERO);
    let refused = running.health.reload("database", never).unwrap_err();
    assert_eq!(refused.field(), "database.every");
}

#[test]
fn names_that_would_have_to_be_escaped_are_refused() {
    let told = Told::default();
    for name in ["", "a b", "A", "\"", "ü", &"x".repeat(65)] {
        let built = Health::builder()
            .check(told.check(name, Weight::Critical))
            .build();
        assert_eq!(built.unwrap_err().field(), format!("{name}.name"));
    }
    let twice = Health::builder()
        .check(told.check("a", Weight::Critical))
        .check(told.check("a", Weight::Degraded));
    assert!(twice.build().unwrap_err().reason().contains("two"));
}

/// A thread that is blocked inside a check, as long as it lives.
struct Blocked {
    health: Health,
    release: mpsc::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Blocked {
    fn new(others: impl IntoIterator<Item = Check>) -> Self {
        let (release, released) = mpsc::channel::<()>();
        let released = std::sync::Mutex::new(released);
        let (inside, is_inside) = mpsc::channel();
        let blocks = Check::critical("blocks", move || {
            let _ = inside.send(());
            let _ = released.lock().unwrap().recv();
            async { Ok::<_, io::Error>(()) }
        });
        let builder = others
            .into_iter()
            .fold(Health::builder(), HealthBuilder::check);
        let health = builder
            .check(blocks)
            .clock(Clock::manual().0)
            .build()
            .unwrap();
        let running = health.clone();
        let thread = std::thread::spawn(move || {
            let mut run = Box::pin(running.run());
            let _ = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        });
        is_inside.recv().unwrap();
        Self {
            health,
            release,
            thread: Some(thread),
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let _ = self.release.send(());
        let _ = self.thread.take().unwrap().join();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the dependencies do, one of them blocking its thread: a probe is answered within
    /// 5 ms. The median of many, since this thread may be put aside at any time.
    #[test]
    fn p001_4_health_response_time(
        behaviours in prop::collection::vec((PASSES..=PANICS, any::<bool>()), 0..20),
    ) {
        let checks = behaviours.iter().enumerate().map(|(at, &(what, critical))| {
            let told = Told::default();
            told.to(what);
            let weight = if critical { Weight::Critical } else { Weight::Degraded };
            told.check(&format!("dependency-{at}"), weight)
        });
        let blocked = Blocked::new(checks);
        let clock = Clock::system();
        for probe in [Probe::Live, Probe::Ready, Probe::Startup] {
            let mut took: Vec<_> = (0..31).map(|_| {
                let began = clock.now();
                let response = blocked.health.response(probe);
                assert_eq!(response.status() == 200, probe == Probe::Live);
                clock.now().saturating_duration_since(began)
            }).collect();
            took.sort();
            prop_assert!(took[15] <= Duration::from_millis(5), "{probe:?} took {:?}", took[15]);
        }
    }
}

#[test]
fn a_check_may_look_at_the_health_it_is_part_of() {
    let slot: Arc<std::sync::OnceLock<Health>> = Arc::default();
    let looked = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let check = {
        let (slot, looked, asked) = (slot.clone(), looked.clone(), asked.clone());
        Check::critical("self", move || {
            asked.fetch_add(1, Ordering::SeqCst);
            if let Some(health) = slot.get() {
                looked.store(
                    health.response(Probe::Ready).status() == 503,
                    Ordering::SeqCst,
                );
            }
            async { Ok::<_, io::Error>(()) }
        })
    };
    let mut running = Running::new(Health::builder().check(check));
    assert!(slot.set(running.health.clone()).is_ok());
    running.poll();
    assert!(looked.load(Ordering::SeqCst));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
