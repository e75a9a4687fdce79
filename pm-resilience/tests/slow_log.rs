//! What the slow log writes, and how much of it.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Empty;
use pm_core::{Clock, Context};
use pm_resilience::breaker::State;
use pm_resilience::slow_log::{ByExtension, Operation, OperationName};
use pm_resilience::{
    BreakerSettings, ByMethod, Class, Policy, RetrySettings, SlowLog, SlowLogSettings,
};
use pm_testing::{Log, ServiceProbe, drive};
use tower::{Layer, Service, ServiceExt, service_fn};
use tracing::Level;

const MS: Duration = Duration::from_millis(1);

fn slow() -> Operation {
    Operation::new("user.get", Class::Read, 150 * MS)
}

#[test]
fn a_line_says_what_was_slow_and_whose_it_was() {
    let lines = Log::capture(Level::WARN);
    let log = SlowLog::new("postgres", SlowLogSettings::above(100 * MS)).unwrap();
    log.note(&Operation::new("user.get", Class::Read, 99 * MS));
    assert_eq!(lines.lines(), [""; 0]);
    let context = Context::new("req-7".parse().unwrap());
    context.in_scope(|| log.note(&slow().with_attempt(2).with_breaker(State::HalfOpen)));
    let line = lines.lines().remove(0);
    for part in [
        "WARN",
        "slow operation",
        r#"name="postgres""#,
        r#"operation="user.get""#,
        r#"class="read""#,
        "millis=150",
        "attempt=2",
        r#"breaker="half_open""#,
        r#"request_id="req-7""#,
        "left_out=0",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[test]
fn policies_of_one_name_are_told_apart_by_their_key() {
    let lines = Log::capture(Level::WARN);
    let (clock, time) = Clock::manual();
    let tenant = |name: &str| {
        Policy::named("storage")
            .key(name)
            .breaker(BreakerSettings::new().with_consecutive_failures(1))
            .slow_log(100 * MS)
            .clock(clock.clone())
            .build()
            .unwrap()
    };
    let (acme, other) = (tenant("acme"), tenant("other"));
    let slow = || {
        time.advance(100 * MS);
        ready(Err::<(), _>("down"))
    };
    assert!(drive(acme.read("user.get", slow)).is_err());
    let lines = lines.lines();
    assert_eq!(lines.len(), 2, "it has opened, and was slow");
    for line in lines {
        assert!(line.contains(r#"key="acme""#), "{line}");
        assert!(line.contains(r#"="storage""#), "{line}");
    }
    assert_eq!(acme.breaker().state(), State::Open);
    assert_eq!(other.breaker().state(), State::Closed);
}

#[test]
fn so_many_lines_a_second_and_the_rest_is_counted() {
    let lines = Log::capture(Level::WARN);
    let (clock, time) = Clock::manual();
    let settings = SlowLogSettings::above(100 * MS).with_lines_per_second(3);
    let log = SlowLog::new("postgres", settings)
        .unwrap()
        .with_clock(clock);
    for _ in 0..10 {
        log.note(&slow());
    }
    assert_eq!(lines.lines().len(), 3);
    time.advance(1_000 * MS);
    log.note(&slow());
    assert!(lines.lines()[3].contains("left_out=7"));
    log.note(&slow());
    assert!(lines.lines()[4].contains("left_out=0"));
    assert_eq!(lines.lines().len(), 5);
}

#[test]
fn a_policy_tells_of_the_whole_operation_with_its_attempts() {
    let lines = Log::capture(Level::WARN);
    let (clock, time) = Clock::manual();
    let retry = RetrySettings::exponential(MS, MS).with_attempts(2);
    let db = Policy::named("postgres")
        .breaker(BreakerSettings::new())
        .retry(retry)
        .slow_log(100 * MS)
        .clock(clock.clone())
        .build()
        .unwrap();
    let mut read = pin!(db.read("user.get", || {
        time.advance(60 * MS);
        std::future::ready(Err::<(), _>("down"))
    }));
    let mut cx = std::task::Context::from_waker(Waker::noop());
    while read.as_mut().poll(&mut cx).is_pending() {
        time.advance(MS);
    }
    let line = lines.lines().remove(0);
    for part in [
        "attempt=2",
        r#"breaker="closed""#,
        r#"operation="user.get""#,
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(drive(db.read("fast", || std::future::ready(Ok::<_, ()>(())))).is_ok());
    assert_eq!(lines.lines().len(), 1);
}

#[test]
fn a_future_is_timed_from_its_first_poll() {
    let lines = Log::capture(Level::WARN);
    let (clock, time) = Clock::manual();
    let log = SlowLog::new("jobs", SlowLogSettings::above(100 * MS)).unwrap();
    let log = log.with_clock(clock);
    let work = || async { time.advance(99 * MS) };
    let run = log.run("sweep", Class::Batch, work());
    time.advance(1_000 * MS);
    drive(run);
    assert_eq!(lines.lines().len(), 0);
    drive(log.run("sweep", Class::Batch, async {
        time.advance(100 * MS);
    }));
    assert!(lines.lines()[0].contains("millis=100"));
}

#[test]
fn a_layer_calls_requests_by_the_name_in_their_extensions() {
    let lines = Log::capture(Level::WARN);
    let (clock, time) = Clock::manual();
    let log = SlowLog::new("users", SlowLogSettings::above(100 * MS)).unwrap();
    let log = log.with_clock(clock.clone());
    let inner = service_fn(move |_: Request<()>| {
        time.advance(100 * MS);
        ready(Ok::<_, ()>(Response::new(())))
    });
    let request = |method: Method, name: Option<OperationName>| {
        let mut request = Request::new(());
        *request.method_mut() = method;
        if let Some(name) = name {
            request.extensions_mut().insert(name);
        }
        request
    };
    let named = Some(OperationName("user.get"));
    let layer = log.layer(ByExtension, ByMethod);
    drive(
        layer
            .layer(inner.clone())
            .oneshot(request(Method::GET, named)),
    )
    .unwrap();
    drive(
        layer
            .layer(inner.clone())
            .oneshot(request(Method::POST, None)),
    )
    .unwrap();
    let fixed = log.layer(OperationName("search"), Class::Batch);
    drive(
        fixed
            .layer(inner.clone())
            .oneshot(request(Method::GET, None)),
    )
    .unwrap();
    let policy = Policy::named("p")
        .slow_log(100 * MS)
        .clock(clock)
        .build()
        .unwrap();
    let policied = policy.layer().layer(service_fn(move |request: Request<_>| {
        let (parts, _) = Request::into_parts(request);
        inner.clone().oneshot(Request::from_parts(parts, ()))
    }));
    drive(policied.oneshot(request(Method::GET, named).map(|()| Empty::<Bytes>::new()))).unwrap();
    let expected = [
        (r#"operation="user.get""#, r#"class="read""#),
        (r#"operation="http""#, r#"class="write""#),
        (r#"operation="search""#, r#"class="batch""#),
        (r#"operation="user.get""#, r#"class="read""#),
    ];
    let lines = lines.lines();
    assert_eq!(lines.len(), expected.len());
    for (line, (operation, class)) in lines.iter().zip(expected) {
        assert!(line.contains(operation) && line.contains(class), "{line}");
    }
}

#[test]
fn a_layer_times_the_readiness_of_the_inner_service_too() {
    let lines = Log::capture(Level::WARN);
    let (clock, time) = Clock::manual();
    let log = SlowLog::new("users", SlowLogSettings::above(100 * MS)).unwrap();
    let (probe, handle) = ServiceProbe::new(|n: u8| n);
    let layer = log.with_clock(clock).layer(OperationName("a"), Class::Read);
    let mut service = layer.layer(probe);
    handle.hold_readiness();
    let mut cx = std::task::Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut call = pin!(service.call(7));
    assert!(call.as_mut().poll(&mut cx).is_pending());
    time.advance(100 * MS);
    handle.grant_readiness();
    assert!(matches!(call.poll(&mut cx), Poll::Ready(Ok(7))));
    assert!(lines.lines()[0].contains("millis=100"));
}
