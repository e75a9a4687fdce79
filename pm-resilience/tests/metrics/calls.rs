use std::future::{pending, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use metrics::with_local_recorder;
use pm_core::Clock;
use pm_resilience::classify::Grpc;
use pm_resilience::retry::ReplayBody;
use pm_resilience::slow_log::Operation;
use pm_resilience::{
    BreakerSettings, Budget, Class, Deadline, Fallback, Outcome, OutgoingDeadlineLayer, Policy,
    Retry, RetrySettings, SlowLog, SlowLogSettings, Timeout, Timeouts, classify, telemetry,
};
use pm_testing::drive;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::recorder::{Series, labelled};

const MS: Duration = Duration::from_millis(1);

#[test]
fn what_is_decided_about_calls_is_counted_by_outcome() {
    let series = Series::default();
    let (clock, _) = Clock::manual();
    with_local_recorder(&series, || {
        let budget = Budget::percent(100).with_clock(clock.clone());
        let retry = Retry::new("r", RetrySettings::new(), budget).unwrap();
        let retry = retry.with_clock(clock.clone());
        retry.begin();
        let soon = Deadline::at(clock.now());
        let asks = |after| Outcome::Retryable { after };
        for (attempt, outcome, deadline) in [
            (1, Outcome::Success, None),
            (3, asks(None), None),
            (1, asks(Some(Duration::MAX)), None),
            (1, asks(None), Some(soon)),
            (1, asks(None), None),
            (1, asks(None), None),
        ] {
            let _ = retry.decide(attempt, outcome, deadline);
        }
        let fallback = Fallback::new("f", 0);
        let fails = fallback.run(ready(Err::<(), ()>(())), |()| ready(Ok(())));
        assert!(drive(fails).is_err());
        let log = SlowLog::new("s", SlowLogSettings::default()).unwrap();
        log.note(&Operation::new("a", Class::Read, Duration::from_secs(1)));
    });
    let retries = [
        ("name=r,outcome=attempts", 1.0),
        ("name=r,outcome=budget", 1.0),
        ("name=r,outcome=deadline", 1.0),
        ("name=r,outcome=patience", 1.0),
        ("name=r,outcome=retried", 1.0),
    ];
    assert_eq!(series.counters(telemetry::RETRIES).0, labelled(&retries));
    let fallbacks = labelled(&[("name=f,outcome=full", 1.0)]);
    assert_eq!(series.counters(telemetry::FALLBACKS).0, fallbacks);
    let slow = labelled(&[("name=s", 1.0)]);
    assert_eq!(series.counters(telemetry::SLOW_OPERATIONS).0, slow);
}

#[test]
fn time_outs_are_counted_by_class() {
    let series = Series::default();
    let (clock, time) = Clock::manual();
    let mut cx = Context::from_waker(Waker::noop());
    with_local_recorder(&series, || {
        let timeout = Timeout::new("t", Timeouts::new()).unwrap();
        let timeout = timeout.with_clock(clock);
        for class in [
            Class::Read,
            Class::Write,
            Class::Custom("report"),
            Class::Custom("x"),
        ] {
            let mut run = pin!(timeout.run(class, pending::<Result<(), ()>>()));
            assert!(run.as_mut().poll(&mut cx).is_pending());
            time.advance(Duration::from_secs(10));
            assert!(run.as_mut().poll(&mut cx).is_ready());
        }
        assert!(drive(timeout.run(Class::Read, ready(Ok::<(), ()>(())))).is_ok());
    });
    let cut_off = labelled(&[
        ("name=t,class=custom", 2.0),
        ("name=t,class=read", 1.0),
        ("name=t,class=write", 1.0),
    ]);
    let mut counted = series.counters(telemetry::TIMEOUTS);
    counted.0.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(counted, (cut_off, 1));
}

#[test]
fn calls_that_a_deadline_ends_are_counted() {
    let series = Series::default();
    let (clock, time) = Clock::manual();
    let mut cx = Context::from_waker(Waker::noop());
    with_local_recorder(&series, || {
        let layer = OutgoingDeadlineLayer::new("d").with_clock(clock.clone());
        let mut service = layer.layer(service_fn(|_: Request<()>| {
            pending::<Result<Response<()>, ()>>()
        }));
        let deadline = Deadline::after(50 * MS, &clock);
        let request = || {
            let mut request = Request::new(());
            request.extensions_mut().insert(deadline);
            request
        };
        let mut call = pin!(service.call(request()));
        assert!(call.as_mut().poll(&mut cx).is_pending());
        time.advance(50 * MS);
        assert!(call.as_mut().poll(&mut cx).is_ready());
        assert!(drive(service.oneshot(request())).is_err());
    });
    let ended = labelled(&[
        ("name=d,outcome=cut", 1.0),
        ("name=d,outcome=rejected", 1.0),
    ]);
    assert_eq!(series.counters(telemetry::DEADLINES), (ended, 0));
}

#[test]
fn operations_under_a_policy_are_counted_by_how_they_end() {
    let series = Series::default();
    let (clock, time) = Clock::manual();
    let mut cx = Context::from_waker(Waker::noop());
    with_local_recorder(&series, || {
        let retry = RetrySettings::exponential(MS, MS).with_attempts(2);
        let db = Policy::named("db")
            .breaker(BreakerSettings::new().with_consecutive_failures(4))
            .retry(retry)
            .classify(classify::errors(|error: &&str| match *error {
                "no such thing" => Outcome::Success,
                "cancelled" => Outcome::Ignored,
                _ => Outcome::retryable(),
            }))
            .clock(clock.clone())
            .build()
            .unwrap();
        assert!(drive(db.write("a", || ready(Ok::<_, &str>(7)))).is_ok());
        assert!(drive(db.write("a", || ready(Err::<(), _>("no such thing")))).is_err());
        assert!(drive(db.write("a", || ready(Err::<(), _>("cancelled")))).is_err());
        assert!(drive(db.write("a", || ready(Err::<(), _>("down")))).is_err());
        {
            let mut hangs = pin!(db.write("a", pending::<Result<(), &str>>));
            assert!(hangs.as_mut().poll(&mut cx).is_pending());
            time.advance(Duration::from_secs(2));
            assert!(hangs.poll(&mut cx).is_ready());
        }
        // One operation, however often it is tried: its second failure opens the breaker.
        {
            let mut read = pin!(db.read("a", || ready(Err::<(), _>("down"))));
            assert!(read.as_mut().poll(&mut cx).is_pending());
            time.advance(MS);
            assert!(matches!(read.poll(&mut cx), Poll::Ready(Err(_))));
        }
        assert!(drive(db.write("a", || ready(Ok::<_, &str>(7)))).is_err());
        db.breaker().force_close("a test");
        let over = Deadline::at(clock.now());
        assert!(
            over.in_scope(|| drive(db.write("a", || ready(Ok::<_, &str>(7)))))
                .is_err()
        );
        let soon = Deadline::after(MS, &clock);
        let mut cut = pin!(soon.scope(db.write("a", pending::<Result<(), &str>>)));
        assert!(cut.as_mut().poll(&mut cx).is_pending());
        time.advance(MS);
        assert!(cut.poll(&mut cx).is_ready());
    });
    let operations = labelled(&[
        ("name=db,outcome=failure", 2.0),
        ("name=db,outcome=ignored", 1.0),
        ("name=db,outcome=rejected", 2.0),
        ("name=db,outcome=success", 2.0),
        ("name=db,outcome=timed_out", 2.0),
    ]);
    assert_eq!(series.counters(telemetry::OPERATIONS), (operations, 0));
    let deadlines = labelled(&[
        ("name=db,outcome=cut", 1.0),
        ("name=db,outcome=rejected", 1.0),
    ]);
    assert_eq!(series.counters(telemetry::DEADLINES), (deadlines, 0));
    let timeouts = labelled(&[("name=db,class=write", 1.0)]);
    assert_eq!(series.counters(telemetry::TIMEOUTS), (timeouts, 3));
}

#[test]
fn a_response_under_a_policy_is_counted_when_its_body_has_ended_if_that_is_waited_for() {
    const UNAVAILABLE: &str = "14";
    let series = Series::default();
    with_local_recorder(&series, || {
        let policy = Policy::named("grpc")
            .classify(Grpc)
            .clock(Clock::manual().0)
            .build()
            .unwrap();
        let layer = policy.layer().until_body_end();
        let call = |status: &'static str, at_most: usize| {
            let service = service_fn(move |_: Request<ReplayBody<Full<Bytes>>>| {
                let trailers = HeaderMap::from_iter([(
                    "grpc-status".parse().unwrap(),
                    HeaderValue::from_static(status),
                )]);
                let body = Full::new(Bytes::from_static(b"part"));
                let body = body.with_trailers(ready(Some(Ok(trailers))));
                ready(Ok::<_, &str>(Response::new(Limited::new(body, at_most))))
            });
            drive(layer.layer(service).oneshot(Request::new(Full::default()))).unwrap()
        };
        let read = |response: Response<_>| drive(BodyExt::collect(response.into_body()));
        assert!(read(call("0", 4)).is_ok());
        assert!(read(call(UNAVAILABLE, 4)).is_ok());
        assert!(read(call("0", 3)).is_err(), "it broke off");
        drop(call("0", 4));
    });
    let operations = labelled(&[
        ("name=grpc,outcome=failure", 2.0),
        ("name=grpc,outcome=success", 1.0),
    ]);
    assert_eq!(series.counters(telemetry::OPERATIONS), (operations, 3));
}
