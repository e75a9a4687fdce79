//! Going down, in virtual time.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::stream;
use pm_core::{Clock, ManualTime};
use pm_resilience::shutdown::{
    Drain, Ended, Kind, Phase, Shutdown, ShutdownSettings, Signal, Summary,
};
use proptest::prelude::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// 1 s to be noticed, 10 s to drain, 2 s to cancel, 3 s to close.
fn settings() -> ShutdownSettings {
    ShutdownSettings::new()
        .with_budget(secs(30))
        .with_delay(secs(1))
        .with_drain(secs(10))
        .with_cancel(secs(2))
        .with_close(secs(3))
        .with_come_back_within(secs(5))
}

/// A future that is polled as an executor does: at first, and then only if it was woken.
struct Task<F: Future> {
    future: Pin<Box<F>>,
    woken: Arc<Woken>,
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl<F: Future> Task<F> {
    fn new(future: F) -> Self {
        Self {
            future: Box::pin(future),
            woken: Arc::new(Woken(true.into())),
        }
    }

    fn poll(&mut self) -> Poll<F::Output> {
        if !self.woken.0.swap(false, Ordering::SeqCst) {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(&self.woken));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

/// A shutdown that is polled by hand, with signals that the test sends.
struct Descent {
    run: Task<Pin<Box<dyn Future<Output = Summary>>>>,
    signals: tokio::sync::mpsc::UnboundedSender<Signal>,
    drain: Drain,
    time: ManualTime,
}

impl Descent {
    fn new(prepare: impl FnOnce(&mut Shutdown, &Clock)) -> Self {
        let (clock, time) = Clock::manual();
        let mut shutdown = Shutdown::new(settings()).unwrap().with_clock(clock.clone());
        prepare(&mut shutdown, &clock);
        let drain = shutdown.drain();
        let (signals, mut sent) = tokio::sync::mpsc::unbounded_channel();
        let signalled = stream::poll_fn(move |cx| sent.poll_recv(cx));
        Self {
            run: Task::new(Box::pin(shutdown.run(signalled))),
            signals,
            drain,
            time,
        }
    }

    fn plain() -> Self {
        Self::new(|_, _| {})
    }

    fn signal(&mut self) -> Poll<Summary> {
        self.signals.send(Signal::Terminate).unwrap();
        self.poll()
    }

    fn pass(&mut self, time: Duration) -> Poll<Summary> {
        self.time.advance(time);
        self.poll()
    }

    fn poll(&mut self) -> Poll<Summary> {
        self.run.poll()
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn done(poll: Poll<Summary>) -> Summary {
    match poll {
        Poll::Ready(summary) => summary,
        Poll::Pending => panic!("it is not down"),
    }
}

#[test]
fn it_goes_through_the_phases_and_ends_when_nothing_is_under_way() {
    let mut down = Descent::plain();
    let request = down.drain.hold(Kind::Request);
    assert!(down.poll().is_pending());
    assert!(down.drain.is_ready());

    assert!(down.signal().is_pending());
    assert!(!down.drain.is_ready());
    assert_eq!(down.drain.phase(), Phase::Unready);
    assert!(down.pass(Duration::from_millis(999)).is_pending());
    assert_eq!(down.drain.phase(), Phase::Unready);
    assert!(down.pass(Duration::from_millis(1)).is_pending());
    assert_eq!(down.drain.phase(), Phase::Draining);

    assert!(down.pass(secs(4)).is_pending());
    drop(request);
    let summary = done(down.poll());
    assert_eq!(summary.ended(), Ended::Empty);
    assert_eq!(summary.took(), secs(5));
    assert_eq!(summary.drained(Kind::Request), 1);
    assert_eq!(summary.cut_in_all(), 0);
    assert_eq!(down.drain.phase(), Phase::Ended);
}

#[test]
fn what_ended_before_the_signal_is_not_drained() {
    let mut down = Descent::plain();
    drop(down.drain.hold(Kind::Request));
    assert!(down.signal().is_pending());
    // What comes while load balancers have not noticed is served.
    drop(down.drain.hold(Kind::Request));
    let summary = done(down.pass(secs(1)));
    assert_eq!(summary.drained_in_all(), 1);
}

#[test]
fn what_hangs_is_cancelled_then_dropped_and_counts_as_cut() {
    let mut down = Descent::plain();
    let drain = down.drain.clone();
    let listening = async {
        drain.reached(Phase::Cancelling).await;
        "gave up"
    };
    let mut listening = Task::new(down.drain.track(Kind::Request, listening));
    let mut hung = Task::new(down.drain.track(Kind::Task, pending::<()>()));
    assert!(listening.poll().is_pending());
    assert!(hung.poll().is_pending());

    assert!(down.signal().is_pending());
    assert!(down.pass(secs(1)).is_pending());
    assert!(down.pass(secs(10)).is_pending());
    assert_eq!(down.drain.phase(), Phase::Cancelling);
    assert_eq!(listening.poll(), Poll::Ready(Ok("gave up")));
    assert!(hung.poll().is_pending());

    assert!(down.pass(secs(2)).is_pending());
    assert_eq!(down.drain.phase(), Phase::Aborting);
    assert!(matches!(hung.poll(), Poll::Ready(Err(_))));
    drop(hung);
    let summary = done(down.poll());
    assert_eq!(summary.ended(), Ended::Cut);
    assert_eq!(
        (summary.cut(Kind::Request), summary.cut(Kind::Task)),
        (1, 1)
    );
    assert_eq!(summary.took(), secs(13));
}

#[test]
fn what_never_notices_holds_it_for_a_tenth_of_a_second_only() {
    let mut down = Descent::plain();
    let _held = down.drain.hold(Kind::Task);
    assert!(down.signal().is_pending());
    for time in [secs(1), secs(10), secs(2)] {
        assert!(down.pass(time).is_pending());
    }
    let summary = done(down.pass(Duration::from_millis(100)));
    assert_eq!(summary.took(), Duration::from_millis(13_100));
    assert_eq!(summary.cut(Kind::Task), 1);
}

#[test]
fn a_second_signal_ends_it_at_once_whatever_the_phase() {
    for waits in 0..4 {
        let mut down = Descent::new(|shutdown, _| {
            shutdown.hook("hangs", secs(1), pending()).unwrap();
        });
        let mut hung = Task::new(down.drain.track(Kind::Request, pending::<()>()));
        assert!(hung.poll().is_pending());
        assert!(down.signal().is_pending());
        for time in [secs(1), secs(10), secs(2)].into_iter().take(waits) {
            assert!(down.pass(time).is_pending());
        }
        let summary = done(down.signal());
        assert_eq!(summary.ended(), Ended::Forced);
        assert_eq!(summary.cut(Kind::Request), 1);
        assert_eq!(summary.hooks_failed(), 1);
        assert!(matches!(hung.poll(), Poll::Ready(Err(_))));
    }
}

#[test]
fn a_second_signal_ends_a_hook_that_hangs() {
    let mut down = Descent::new(|shutdown, _| {
        shutdown.hook("hangs", secs(1), pending()).unwrap();
        shutdown.hook("next", secs(1), async {}).unwrap();
    });
    assert!(down.signal().is_pending());
    assert!(down.pass(secs(1)).is_pending());
    assert_eq!(down.drain.phase(), Phase::Closing);
    let summary = done(down.signal());
    assert_eq!(summary.ended(), Ended::Forced);
    assert_eq!(summary.hooks_failed(), 2, "neither has ended");
}

#[test]
fn hooks_run_in_order_and_none_takes_the_time_of_the_next() {
    let said = Arc::new(Mutex::new(Vec::new()));
    let mut down = Descent::new(|shutdown, clock| {
        let slow = {
            let (said, clock) = (said.clone(), clock.clone());
            async move {
                clock
                    .sleep_until(clock.now() + Duration::from_millis(900))
                    .await;
                said.lock().unwrap().push("slow");
            }
        };
        let last = {
            let said = said.clone();
            async move { said.lock().unwrap().push("last") }
        };
        shutdown.hook("slow", secs(1), slow).unwrap();
        shutdown.hook("hangs", secs(1), pending()).unwrap();
        let panics = async { panic!("a hook of a test") };
        shutdown.hook("panics", Duration::ZERO, panics).unwrap();
        shutdown.hook("last", secs(1), last).unwrap();
        let refused = shutdown.hook("too much", Duration::from_nanos(1), async {});
        assert_eq!(refused.unwrap_err().field(), "close");
    });
    assert!(down.signal().is_pending());
    assert!(down.pass(secs(1)).is_pending());
    assert!(down.pass(Duration::from_millis(900)).is_pending());
    assert_eq!(*said.lock().unwrap(), ["slow"]);
    let summary = done(down.pass(secs(1)));
    assert_eq!(*said.lock().unwrap(), ["slow", "last"]);
    assert_eq!(summary.hooks_failed(), 2);
    assert_eq!(summary.ended(), Ended::Empty);
}

#[test]
fn it_can_be_asked_to_stop_without_a_signal() {
    let mut down = Descent::plain();
    assert!(down.poll().is_pending());
    down.drain.stop();
    assert!(down.poll().is_pending());
    assert!(!down.drain.is_ready());
    // The first signal is then the second request.
    assert_eq!(done(down.signal()).ended(), Ended::Forced);
}

#[test]
fn who_waits_before_it_is_asked_by_a_call_is_told_of_every_phase() {
    let mut down = Descent::plain();
    let socket = down.drain.socket();
    let mut leaving = Task::new(socket.leave());
    let mut accepting = Task::new(down.drain.reached(Phase::Draining));
    let mut hung = Task::new(down.drain.track(Kind::Connection, pending::<()>()));
    let mut wait = || {
        assert!(hung.poll().is_pending());
        leaving.poll().is_ready() && accepting.poll().is_ready()
    };
    assert!(!wait());
    assert!(down.poll().is_pending());
    down.drain.stop();
    // Everybody runs before the shutdown does.
    assert!(!wait());
    assert!(down.poll().is_pending());
    assert!(!wait());
    assert!(down.pass(secs(1)).is_pending());
    assert_eq!(down.drain.phase(), Phase::Draining);
    assert!(wait(), "not told to leave");

    for time in [secs(10), secs(2)] {
        assert!(down.pass(time).is_pending());
    }
    assert_eq!(down.drain.phase(), Phase::Aborting);
    assert!(matches!(hung.poll(), Poll::Ready(Err(_))));
}

#[test]
fn a_stream_of_signals_that_ends_sends_none() {
    let (clock, _time) = Clock::manual();
    let shutdown = Shutdown::new(settings()).unwrap().with_clock(clock);
    let drain = shutdown.drain();
    let mut run = Box::pin(shutdown.run(stream::empty()));
    assert!(poll(run.as_mut()).is_pending());
    assert!(poll(run.as_mut()).is_pending());
    assert!(drain.is_ready());
}

#[test]
fn sockets_are_told_to_leave_and_come_back_each_at_its_own_moment() {
    let mut down = Descent::plain();
    let sockets: Vec<_> = (0..100).map(|_| down.drain.socket()).collect();
    let mut leaving: Vec<_> = sockets.iter().map(|s| Task::new(s.leave())).collect();
    assert!(leaving.iter_mut().all(|leave| leave.poll().is_pending()));
    assert!(down.signal().is_pending());
    assert!(leaving.iter_mut().all(|leave| leave.poll().is_pending()));
    assert!(down.pass(secs(1)).is_pending());
    let mut waits = Vec::new();
    for leave in &mut leaving {
        match leave.poll() {
            Poll::Ready(leave) => waits.push(leave.come_back_after),
            Poll::Pending => panic!("not told to leave"),
        }
    }
    assert!(waits.iter().all(|&wait| wait <= secs(5)));
    let early = waits.iter().filter(|&&wait| wait < secs(1)).count();
    let late = waits.iter().filter(|&&wait| wait > secs(4)).count();
    assert!(early > 2 && late > 2, "not spread: {waits:?}");
    drop(leaving);
    drop(sockets);
    let summary = done(down.poll());
    assert_eq!(summary.drained(Kind::Socket), 100);
}

#[test]
fn who_waits_for_a_phase_is_woken_by_it_and_by_a_later_one() {
    struct Wakes(std::sync::atomic::AtomicUsize);
    impl std::task::Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }
    let mut down = Descent::plain();
    let wakes = Arc::new(Wakes(0.into()));
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    let woken = |before: &mut usize| {
        let now = wakes.0.load(std::sync::atomic::Ordering::SeqCst);
        std::mem::replace(before, now) < now
    };
    let mut seen = 0;
    let mut reached = Box::pin(down.drain.reached(Phase::Draining));
    assert!(reached.as_mut().poll(&mut cx).is_pending());
    assert!(reached.as_mut().poll(&mut cx).is_pending());
    assert!(down.signal().is_pending());
    assert!(woken(&mut seen));
    assert!(reached.as_mut().poll(&mut cx).is_pending());
    // Polled meanwhile by somebody else, who is not woken in its place.
    assert!(poll(reached.as_mut()).is_pending());
    assert!(reached.as_mut().poll(&mut cx).is_pending());
    assert!(down.pass(secs(1)).is_ready());
    assert!(woken(&mut seen));
    assert!(reached.as_mut().poll(&mut cx).is_ready());
    // Who comes late does not wait, though the phase was passed by.
    assert!(poll(Box::pin(down.drain.reached(Phase::Cancelling)).as_mut()).is_ready());
}

#[test]
fn a_tracked_future_that_is_dropped_is_not_waited_for() {
    let down = Descent::plain();
    let tracked = down.drain.track(Kind::Task, pending::<()>());
    assert_eq!(down.drain.held(Kind::Task), 1);
    drop(tracked);
    assert_eq!(down.drain.held(Kind::Task), 0);
}

#[test]
fn a_task_that_panics_is_not_waited_for() {
    let down = Descent::plain();
    let mut tracked = Box::pin(down.drain.track(Kind::Task, async { panic!("a test") }));
    let polled = std::panic::AssertUnwindSafe(|| poll(tracked.as_mut()).map(Result::<(), _>::ok));
    assert!(std::panic::catch_unwind(polled).is_err());
    drop(tracked);
    assert_eq!(down.drain.held(Kind::Task), 0);
}

#[test]
fn settings_change_while_it_serves() {
    let mut down = Descent::plain();
    let longer = settings().with_delay(secs(3));
    down.drain.reload(longer).unwrap();
    let endless = settings().with_delay(secs(60));
    assert_eq!(down.drain.reload(endless).unwrap_err().field(), "budget");
    assert!(down.signal().is_pending());
    assert!(down.pass(secs(1)).is_pending());
    assert_eq!(down.drain.phase(), Phase::Unready);
    assert!(down.pass(secs(2)).is_ready());
}

#[test]
fn one_line_says_how_it_went() {
    let log = pm_testing::Log::capture(tracing::Level::INFO);
    let mut down = Descent::plain();
    let _hung = down.drain.hold(Kind::Request);
    drop(down.signal());
    drop(down.drain.hold(Kind::Request));
    for time in [secs(1), secs(10), secs(2)] {
        drop(down.pass(time));
    }
    drop(done(down.pass(secs(1))));
    let lines = log.lines();
    let summary: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("shut down"))
        .collect();
    assert_eq!(summary.len(), 1, "{lines:?}");
    for word in ["took=14s", "ended=\"cut\"", "drained=1", "cut=1"] {
        assert!(summary[0].contains(word), "{word} is not in {}", summary[0]);
    }
}

proptest! {
    /// Whatever is under way, however long it takes: it is down within the longest time, and
    /// everything is counted once.
    #[test]
    fn it_is_down_in_time_and_loses_count_of_nothing(lasts in prop::collection::vec(0u64..20_000, 0..20)) {
        let mut down = Descent::plain();
        let clock_began = Duration::ZERO;
        let mut passed = clock_began;
        let mut held: Vec<_> = lasts
            .iter()
            .map(|&millis| (Duration::from_millis(millis), down.drain.hold(Kind::Request)))
            .collect();
        let mut ended = down.signal();
        while ended.is_pending() && passed <= settings().longest() {
            passed += Duration::from_millis(50);
            held.retain(|(until, _)| *until > passed);
            ended = down.pass(Duration::from_millis(50));
        }
        let summary = done(ended);
        prop_assert!(summary.took() <= settings().longest());
        prop_assert_eq!(summary.drained_in_all() + summary.cut_in_all(), lasts.len() as u64);
        let slow = lasts.iter().filter(|&&millis| millis > 11_000).count() as u64;
        prop_assert_eq!(summary.cut_in_all(), slow);
        prop_assert_eq!(summary.ended() == Ended::Cut, slow > 0);
    }
}
