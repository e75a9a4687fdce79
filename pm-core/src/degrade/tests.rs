use std::num::NonZeroU8;

use proptest::prelude::*;

use super::*;

fn misses(in_a_row: u8) -> NonZeroU8 {
    NonZeroU8::new(in_a_row).expect("not 0")
}

fn call(switch: &Switch, outcome: Outcome) {
    switch.begin().expect("it is up").settle(outcome);
}

#[test]
fn the_first_failure_of_any_kind_throws_it_at_once() {
    for outcome in [Outcome::TimedOut, Outcome::Lost, Outcome::Refused] {
        let switch = Switch::up("test");
        call(&switch, Outcome::Answered);
        assert_eq!(switch.state(), State::Up);
        call(&switch, outcome);
        assert_eq!(switch.state(), State::Down, "{outcome:?}");
        assert!(switch.begin().is_none());
        assert_eq!(switch.stats().local, 1);
    }
}

#[test]
fn misses_may_be_tolerated_but_only_in_a_row_and_nothing_else_is() {
    let switch = Switch::up("test").with_misses(misses(3));
    for outcome in [
        Outcome::TimedOut,
        Outcome::TimedOut,
        Outcome::Answered,
        Outcome::TimedOut,
        Outcome::TimedOut,
    ] {
        call(&switch, outcome);
        assert_eq!(switch.state(), State::Up);
    }
    call(&switch, Outcome::TimedOut);
    assert_eq!(switch.state(), State::Down);

    let switch = Switch::up("test").with_misses(misses(3));
    call(&switch, Outcome::Refused);
    assert_eq!(switch.state(), State::Down);
}

#[test]
fn a_dropped_ticket_leaves_a_count_and_a_dropped_probe_nothing() {
    let switch = Switch::up("test");
    drop(switch.begin());
    assert_eq!(switch.state(), State::Up);
    assert_eq!(switch.stats().abandoned, 1);
    call(&switch, Outcome::Lost);
    let before = switch.stats();
    drop(switch.probe());
    assert_eq!((switch.state(), switch.stats()), (State::Down, before));
}

#[test]
fn a_probe_of_an_earlier_outage_does_not_end_a_later_one() {
    let switch = Switch::up("test");
    call(&switch, Outcome::Lost);
    let (late, probe) = (switch.probe().expect("down"), switch.probe().expect("down"));
    assert!(probe.passed());
    call(&switch, Outcome::Lost);
    assert!(!late.passed());
    assert_eq!(switch.state(), State::Down);
}

#[test]
fn whoever_follows_hears_of_each_standstill() {
    let switch = Switch::down("test");
    let mut changes = switch.changes();
    let mut next = Box::pin(changes.next());
    let cx = &mut std::task::Context::from_waker(std::task::Waker::noop());
    assert!(next.as_mut().poll(cx).is_pending());
    assert!(switch.probe().expect("down").passed());
    assert_eq!(next.as_mut().poll(cx), std::task::Poll::Ready(State::Up));
    drop(next);
    call(&switch, Outcome::Lost);
    assert_eq!(pm_testing::drive(changes.next()), State::Down);
    pm_testing::drive(changes.until(State::Down));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    Abandon(usize),
    Settle(usize, Outcome),
    Probe,
    Pass(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Answered),
        2 => Just(Outcome::TimedOut),
        1 => Just(Outcome::Lost),
        1 => Just(Outcome::Refused),
    ];
    let step = prop_oneof![
        4 => Just(Step::Begin),
        1 => (0usize..8).prop_map(Step::Abandon),
        4 => (0usize..8, outcome).prop_map(|(ticket, outcome)| Step::Settle(ticket, outcome)),
        2 => Just(Step::Probe),
        2 => (0usize..8).prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 0..200)
}

/// What the documentation says, with numbers instead of bits.
struct Model {
    generation: u64,
    misses: u8,
    limit: u8,
    stats: SwitchStats,
}

impl Model {
    fn settle(&mut self, begun: u64, outcome: Outcome) {
        self.stats.ambiguous += u64::from(matches!(outcome, Outcome::Lost | Outcome::TimedOut));
        if begun != self.generation {
            self.stats.late += 1;
            return;
        }
        self.misses = match outcome {
            Outcome::Answered => 0,
            Outcome::TimedOut => self.misses + 1,
            Outcome::Lost | Outcome::Refused => self.limit,
        };
        if self.misses == self.limit {
            (self.generation, self.misses) = (self.generation + 1, 0);
            self.stats.fallen += 1;
        }
    }
}

proptest! {
    #[test]
    fn it_does_what_the_model_does(limit in 1u8..4, starts_down: bool, steps in steps()) {
        let made = if starts_down { Switch::down("test") } else { Switch::up("test") };
        let switch = made.with_misses(misses(limit));
        let generation = u64::from(starts_down);
        let mut model = Model { generation, misses: 0, limit, stats: SwitchStats::default() };
        let (mut tickets, mut probes) = (Vec::new(), Vec::new());
        for step in steps {
            let down = model.generation % 2 == 1;
            match step {
                Step::Begin => {
                    let ticket = switch.begin();
                    prop_assert_eq!(ticket.is_none(), down);
                    model.stats.local += u64::from(down);
                    tickets.extend(ticket.map(|ticket| (model.generation, ticket)));
                }
                Step::Abandon(index) if index < tickets.len() => {
                    drop(tickets.swap_remove(index));
                    model.stats.abandoned += 1;
                }
                Step::Settle(index, outcome) if index < tickets.len() => {
                    let (begun, ticket) = tickets.swap_remove(index);
                    ticket.settle(outcome);
                    model.settle(begun, outcome);
                }
                Step::Probe => {
                    let probe = switch.probe();
                    prop_assert_eq!(probe.is_some(), down);
                    probes.extend(probe.map(|probe| (model.generation, probe)));
                }
                Step::Pass(index) if index < probes.len() => {
                    let (begun, probe) = probes.swap_remove(index);
                    let rises = begun == model.generation;
                    prop_assert_eq!(probe.passed(), rises);
                    model.generation += u64::from(rises);
                    model.stats.risen += u64::from(rises);
                }
                Step::Abandon(_) | Step::Settle(..) | Step::Pass(_) => {}
            }
            prop_assert_eq!(switch.generation(), model.generation);
            prop_assert_eq!(switch.stats(), model.stats);
        }
    }
}
