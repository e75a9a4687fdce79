use std::future::{Future, pending};
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::stream;
use metrics::with_local_recorder;
use pm_core::Clock;
use pm_resilience::health::{Check, Health};
use pm_resilience::shutdown::{Kind, Shutdown, ShutdownSettings, Signal};
use pm_resilience::{
    Bulkhead, BulkheadSettings, Limit, LimitSettings, Priority, Shed, ShedSettings, telemetry,
};

use crate::recorder::Series;

#[test]
fn permits_are_counted() {
    let series = Series::default();
    with_local_recorder(&series, || {
        let one = BulkheadSettings::new().with_max(NonZeroU32::MIN);
        let bulkhead = Bulkhead::new("db", one);
        let held = bulkhead.try_acquire().unwrap();
        assert!(bulkhead.try_acquire().is_err());
        assert_eq!(
            series.gauge(telemetry::GATE_IN_FLIGHT, "gate=bulkhead,name=db"),
            1.0
        );
        drop(held);

        let limit = Limit::new("api", LimitSettings::default()).unwrap();
        let shed = Shed::new(limit, ShedSettings::default()).unwrap();
        let _held: Vec<_> = std::iter::from_fn(|| shed.try_acquire(Priority::Low).ok()).collect();
    });
    assert_eq!(
        series.gauge(telemetry::GATE_IN_FLIGHT, "gate=bulkhead,name=db"),
        0.0
    );
    assert_eq!(
        series.count(telemetry::GATE_ADMITTED, "gate=bulkhead,name=db"),
        1
    );
    let full = "gate=bulkhead,name=db,reason=full";
    assert_eq!(series.count(telemetry::GATE_REJECTED, full), 1);
    assert_eq!(
        series.count(telemetry::GATE_ADMITTED, "gate=limit,name=api"),
        12
    );
    assert_eq!(series.gauge(telemetry::LIMIT_CALLS, "name=api"), 20.0);
    assert_eq!(
        series.count(telemetry::SHED_REFUSED, "name=api,priority=low"),
        1
    );
    assert_eq!(
        series.count(telemetry::SHED_REFUSED, "name=api,priority=high"),
        0
    );
}

#[test]
fn checks_are_counted() {
    let series = Series::default();
    let mut cx = Context::from_waker(Waker::noop());
    with_local_recorder(&series, || {
        let (clock, time) = Clock::manual();
        let health = Health::builder()
            .check(Check::critical("works", || async {
                Ok::<_, io::Error>(())
            }))
            .check(Check::degraded("hangs", pending::<Result<(), io::Error>>))
            .clock(clock)
            .build()
            .unwrap();
        let up = || series.gauge(telemetry::HEALTH_UP, "check=works");
        assert_eq!(up(), 0.0, "not known yet");
        let mut run = Box::pin(health.run());
        for _ in 0..4 {
            assert!(run.as_mut().poll(&mut cx).is_pending());
            time.advance(Duration::from_secs(2));
        }
        assert_eq!(up(), 1.0);
        drop(run);
        time.advance(Duration::from_secs(60));
        assert!(!health.is_ready());
        assert_eq!(up(), 0.0, "stale");
    });
    assert_eq!(
        series.count(telemetry::HEALTH_CHECKS, "check=works,outcome=passed"),
        2
    );
    assert_eq!(
        series.count(telemetry::HEALTH_CHECKS, "check=hangs,outcome=timed_out"),
        1
    );
    assert_eq!(
        series.count(telemetry::HEALTH_CHECK_SECONDS, "check=hangs"),
        1
    );
}

#[test]
fn a_shutdown_counts_what_it_drained_and_cut_before_hooks_flush_it() {
    let series = Arc::new(Series::default());
    let mut cx = Context::from_waker(Waker::noop());
    with_local_recorder(&*series.clone(), || {
        let (clock, time) = Clock::manual();
        let settings = ShutdownSettings::default();
        let mut shutdown = Shutdown::new(settings).unwrap().with_clock(clock);
        let flush = {
            let series = series.clone();
            async move {
                let cut = "kind=request,outcome=cut";
                assert_eq!(series.count(telemetry::SHUTDOWN_ENDED, cut), 1);
            }
        };
        shutdown
            .hook("flush", Duration::from_secs(1), flush)
            .unwrap();
        let serving = || series.gauge(telemetry::SHUTDOWN_PHASE, "phase=serving");
        assert_eq!(serving(), 1.0);
        let drain = shutdown.drain();
        let _hung = drain.hold(Kind::Request);
        let finishes = drain.hold(Kind::Request);
        let mut run = Box::pin(shutdown.run(stream::iter([Signal::Terminate])));
        assert!(run.as_mut().poll(&mut cx).is_pending());
        assert_eq!(serving(), 0.0);
        drop(finishes);
        for seconds in [5, 15, 3] {
            let phase = drain.phase();
            assert_eq!(
                series.gauge(
                    telemetry::SHUTDOWN_PHASE,
                    &format!("phase={}", phase.as_str())
                ),
                1.0
            );
            time.advance(Duration::from_secs(seconds));
            assert!(run.as_mut().poll(&mut cx).is_pending());
        }
        time.advance(Duration::from_secs(1));
        assert!(run.as_mut().poll(&mut cx).is_ready());
    });
    assert_eq!(
        series.count(telemetry::SHUTDOWN_ENDED, "kind=request,outcome=drained"),
        1
    );
    assert_eq!(series.count(telemetry::SHUTDOWN_HOOKS, "outcome=done"), 1);
    assert_eq!(
        series.count(telemetry::SHUTDOWN_PHASE_SECONDS, "phase=draining"),
        1
    );
    assert_eq!(
        series.gauge(telemetry::SHUTDOWN_PHASE, "phase=draining"),
        0.0
    );
    assert_eq!(series.gauge(telemetry::SHUTDOWN_PHASE, "phase=ended"), 1.0);
}

#[test]
fn hooks_that_have_not_ended_when_it_is_forced_are_counted() {
    let series = Series::default();
    let mut cx = Context::from_waker(Waker::noop());
    with_local_recorder(&series, || {
        let (clock, time) = Clock::manual();
        let settings = ShutdownSettings::default();
        let mut shutdown = Shutdown::new(settings).unwrap().with_clock(clock);
        for name in ["hangs", "next"] {
            shutdown
                .hook(name, Duration::from_secs(1), pending())
                .unwrap();
        }
        let again = Arc::new(AtomicBool::new(true));
        let signals = {
            let again = Arc::clone(&again);
            stream::poll_fn(move |_| match again.swap(false, Ordering::SeqCst) {
                true => Poll::Ready(Some(Signal::Terminate)),
                false => Poll::Pending,
            })
        };
        let mut run = Box::pin(shutdown.run(signals));
        assert!(run.as_mut().poll(&mut cx).is_pending());
        time.advance(Duration::from_secs(5));
        assert!(run.as_mut().poll(&mut cx).is_pending());
        again.store(true, Ordering::SeqCst);
        assert!(run.as_mut().poll(&mut cx).is_ready());
    });
    let unfinished = "outcome=unfinished";
    assert_eq!(series.count(telemetry::SHUTDOWN_HOOKS, unfinished), 2);
}
