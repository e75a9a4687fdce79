//! The scenarios of a breaker.

use pm_core::Clock;

use super::call::{Call, End, Subject, begin, make, pass};
use super::subjects::{LEASE, OPEN_FOR, PROBES, SLOW};

/// The last ten calls count, and half of them is too many: behind a thousand that were good, ten that
/// fail are enough.
pub(super) fn slides(subject: &dyn Subject) -> bool {
    (0..1_000).for_each(|_| assert!(make(subject, End::Success), "nothing has failed"));
    (0..10).for_each(|_| {
        make(subject, End::Failure);
    });
    begin(subject).is_none()
}

/// Calls that began before it opened do not decide for the probe: neither that it closes nor that it
/// opens.
pub(super) fn forgets_what_is_late(make_one: fn() -> Box<dyn Subject>) -> bool {
    let closes = |late: End, probe: End| {
        let subject = make_one();
        let before: Vec<Call> = (0..3).filter_map(|_| begin(&*subject)).collect();
        open(&*subject);
        pass(OPEN_FOR);
        let only = begin(&*subject).expect("it is time for a probe");
        before.into_iter().for_each(|call| call.end(late));
        only.end(probe);
        begin(&*subject).is_some()
    };
    !closes(End::Success, End::Failure) && closes(End::Failure, End::Success)
}

/// A probe that hangs keeps others out for as long as it has, and not for ever.
pub(super) fn replaces_a_probe_that_hangs(subject: &dyn Subject) -> bool {
    open(subject);
    pass(OPEN_FOR);
    let _hangs = begin(subject).expect("it is time for a probe");
    pass(4 * LEASE.max(OPEN_FOR));
    begin(subject).is_some()
}

/// A hundred callers at once, none of whom has an answer yet.
pub(super) fn bounds_probes(subject: &dyn Subject) -> bool {
    open(subject);
    pass(OPEN_FOR);
    let probes: Vec<Call> = (0..100).filter_map(|_| begin(subject)).collect();
    (1..=PROBES).contains(&probes.len())
}

/// What a call costs with 100 in the window and with 20,000 in it, at best.
pub(super) fn costs_the_same_in_traffic(subject: &dyn Subject) -> bool {
    const BATCH: usize = 20;
    let calls = |count: usize| (0..count).for_each(|_| assert!(make(subject, End::Success)));
    let clock = Clock::counter();
    let cost = || {
        let batches = (0..20).map(|_| {
            let start = clock.now();
            calls(BATCH);
            clock.now().saturating_duration_since(start)
        });
        batches.min().expect("there are some")
    };
    calls(100);
    let few = cost();
    calls(20_000);
    cost() < few * 3 / 2
}

/// Its callers have time-outs of their own, and give up what was slow.
pub(super) fn counts_what_is_cut_off(subject: &dyn Subject) -> bool {
    let calls: Vec<Call> = (0..10).filter_map(|_| begin(subject)).collect();
    pass(2 * SLOW);
    drop(calls);
    begin(subject).is_none()
}

/// The only probe panics. The next caller finds its place free.
pub(super) fn frees_the_place_of_a_panic(subject: &dyn Subject) -> bool {
    open(subject);
    pass(OPEN_FOR);
    begin(subject)
        .expect("it is time for a probe")
        .end(End::Panic);
    // Some take it for a failure, and are open for a while again.
    pass(OPEN_FOR);
    begin(subject).is_some()
}

/// A layer is applied anew for each call, as some routers do, and all calls fail.
pub(super) fn shares_its_state(layer: &dyn Fn() -> Box<dyn Subject>) -> bool {
    (0..10).for_each(|_| {
        make(&*layer(), End::Failure);
    });
    begin(&*layer()).is_none()
}

fn open(subject: &dyn Subject) {
    let mut calls = 0;
    while make(subject, End::Failure) {
        calls += 1;
        assert!(calls < 1_000, "nothing opens it");
    }
}
