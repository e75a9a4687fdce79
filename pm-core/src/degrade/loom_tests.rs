//! Every interleaving of a few threads, as far as loom's memory model goes:
//! `RUSTFLAGS="--cfg pm_loom" cargo test -p pm-core --release --lib loom`

use std::num::NonZeroU8;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use loom::thread;

use super::{Outcome, State, Switch};

fn on_another_thread(
    switch: &Switch,
    act: impl FnOnce(Switch) + Send + 'static,
) -> thread::JoinHandle<()> {
    let switch = switch.clone();
    thread::spawn(move || act(switch))
}

fn call(switch: &Switch, outcome: Outcome) {
    if let Some(ticket) = switch.begin() {
        ticket.settle(outcome);
    }
}

#[test]
fn two_failures_at_once_are_one_switch() {
    loom::model(|| {
        let switch = Switch::up("loom");
        let other = on_another_thread(&switch, |switch| call(&switch, Outcome::Lost));
        call(&switch, Outcome::TimedOut);
        other.join().expect("no panic");
        assert_eq!(switch.state(), State::Down);
        assert_eq!(switch.generation(), 1);
        let stats = switch.stats();
        assert_eq!(stats.fallen, 1);
        assert_eq!(stats.late + stats.local, 1, "the other one came too late");
    });
}

#[test]
fn a_late_result_does_not_bring_down_what_has_come_back() {
    loom::model(|| {
        let switch = Switch::up("loom");
        let late = switch.begin().expect("up");
        let other = on_another_thread(&switch, |switch| {
            call(&switch, Outcome::Lost);
            if let Some(probe) = switch.probe() {
                probe.passed();
            }
        });
        late.settle(Outcome::TimedOut);
        other.join().expect("no panic");
        // Whichever of them threw it, the probe came after that and the other result is late, or
        // its call was answered locally.
        let stats = switch.stats();
        assert_eq!((stats.fallen, stats.risen), (1, 1));
        assert_eq!(switch.state(), State::Up);
    });
}

#[test]
fn two_probes_at_once_are_one_switch() {
    loom::model(|| {
        let switch = Switch::down("loom");
        let other = on_another_thread(&switch, |switch| {
            if let Some(probe) = switch.probe() {
                probe.passed();
            }
        });
        let mine = switch.probe().is_some_and(|probe| probe.passed());
        other.join().expect("no panic");
        assert_eq!(switch.state(), State::Up);
        assert_eq!(switch.stats().risen, 1);
        assert!(mine || switch.generation() == 2);
    });
}

#[test]
fn misses_in_a_row_are_counted_across_threads() {
    loom::model(|| {
        let switch = Switch::up("loom").with_misses(NonZeroU8::new(2).expect("not 0"));
        let other = on_another_thread(&switch, |switch| call(&switch, Outcome::TimedOut));
        call(&switch, Outcome::TimedOut);
        other.join().expect("no panic");
        assert_eq!(switch.state(), State::Down, "neither of the two was lost");
    });
}

#[test]
fn who_follows_the_state_sleeps_through_no_switch() {
    loom::model(|| {
        let switch = Switch::up("loom");
        let mut changes = switch.changes();
        let other = on_another_thread(&switch, |switch| call(&switch, Outcome::Refused));

        let woken = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut next = pin!(changes.next());
        let first = next.as_mut().poll(&mut Context::from_waker(&waker));
        other.join().expect("no panic");
        if first.is_pending() {
            assert!(woken.0.load(Ordering::SeqCst), "nobody rang");
            let again = next.as_mut().poll(&mut Context::from_waker(&waker));
            assert_eq!(again, Poll::Ready(State::Down));
        }
    });
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
