//! The breaker beside a model of it that remembers everything and does one thing at a time.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::time::Duration;

use pm_core::Clock;
use pm_resilience::breaker::{Breaker, BreakerSettings, Mode, Permit, State, Window};
use pm_resilience::{Outcome, Reason};
use proptest::prelude::*;

const LEASE: u64 = 10_000;

#[derive(Clone, Debug)]
enum Step {
    Admit,
    /// Which of those under way, counted round.
    Settle(usize, Outcome),
    Drop(usize),
    TimedOut(usize),
    Advance(u64),
    ForceOpen,
    ForceClose,
    Release,
    Reload(usize),
}

/// Times are in milliseconds.
struct Model {
    settings: BreakerSettings,
    now: u64,
    state: State,
    generation: u64,
    in_a_row: u16,
    calls: Vec<Call>,
    until: u64,
    opened: u32,
    in_flight: u8,
    passed: u8,
    ignored: u64,
    rejected: u64,
    observed: u64,
    inconclusive: u64,
}

#[derive(Clone, Copy)]
struct Call {
    at: u64,
    failed: bool,
    slow: bool,
}

#[derive(Clone, Copy)]
struct Pass {
    generation: Option<u64>,
    started: Option<u64>,
}

impl Model {
    fn new(settings: BreakerSettings) -> Self {
        Self {
            state: rest(&settings),
            settings,
            now: 0,
            generation: 0,
            in_a_row: 0,
            calls: Vec::new(),
            until: 0,
            opened: 0,
            in_flight: 0,
            passed: 0,
            ignored: 0,
            rejected: 0,
            observed: 0,
            inconclusive: 0,
        }
    }

    fn admit(&mut self) -> Result<Pass, (Reason, Option<u64>)> {
        let unwatched = Pass {
            generation: None,
            started: None,
        };
        if self.state == State::Open && self.now >= self.until {
            self.turn(State::HalfOpen);
        }
        let wait = self.until.saturating_sub(self.now);
        let refused = match self.state {
            State::Closed => {
                let started = self.settings.slow_calls.map(|_| self.now);
                return Ok(Pass {
                    generation: Some(self.generation),
                    started,
                });
            }
            State::HalfOpen => {
                if self.in_flight + self.passed >= self.settings.probes && wait == 0 {
                    let passed = self.passed;
                    self.turn(State::HalfOpen);
                    self.passed = passed;
                }
                if self.in_flight == 0 || self.in_flight + self.passed < self.settings.probes {
                    // Without a round that begins anew, too many may have passed already.
                    if self.in_flight + self.passed < self.settings.probes || wait == 0 {
                        self.in_flight += 1;
                        self.until = self.now + LEASE;
                        let generation = Some(self.generation);
                        return Ok(Pass {
                            generation,
                            started: Some(self.now),
                        });
                    }
                }
                (Reason::Probing, Some(wait))
            }
            State::Open => (Reason::Open, Some(wait)),
            State::ForcedOpen => (Reason::ForcedOpen, None),
            _ => return Ok(unwatched),
        };
        if self.settings.mode == Mode::ObserveOnly && refused.0 != Reason::ForcedOpen {
            self.observed += 1;
            return Ok(unwatched);
        }
        self.rejected += 1;
        Err(refused)
    }

    fn settle(&mut self, pass: Pass, failed: bool, cut_off: bool) {
        let Some(generation) = pass.generation else {
            return;
        };
        if generation != self.generation {
            self.ignored += 1;
            return;
        }
        let took = pass.started.map(|started| self.now - started);
        let slow = self.settings.slow_calls.is_some_and(|slow| {
            cut_off || took.is_some_and(|took| Duration::from_millis(took) >= slow.after)
        });
        if self.state == State::HalfOpen {
            if failed || slow {
                self.open();
            } else if self.passed + 1 >= self.settings.probes {
                self.turn(State::Closed);
            } else {
                self.in_flight -= 1;
                self.passed += 1;
            }
            return;
        }
        let mut opens = false;
        if has_rates(&self.settings) {
            self.calls.push(Call {
                at: self.now,
                failed,
                slow,
            });
            let (calls, failures, slows) = self.counts();
            let share = |part: u32, rate: f64| f64::from(part) >= rate * f64::from(calls);
            if calls >= self.settings.minimum_calls {
                let rate = self.settings.failure_rate;
                opens |= failed && rate.is_some_and(|rate| share(failures, rate));
                let limit = self.settings.slow_calls;
                opens |= slow && limit.is_some_and(|limit| share(slows, limit.rate));
            }
        }
        if failed {
            self.in_a_row += 1;
            let limit = self.settings.consecutive_failures;
            opens |= limit > 0 && self.in_a_row >= limit;
        } else {
            self.in_a_row = 0;
        }
        if opens {
            self.open();
        }
    }

    fn inconclusive(&mut self, pass: Pass) {
        if pass.generation.is_some() {
            self.inconclusive += 1;
        }
        if pass.generation == Some(self.generation) && self.state == State::HalfOpen {
            self.in_flight -= 1;
        }
    }

    fn dropped(&mut self, pass: Pass) {
        let slow_after = self
            .settings
            .slow_calls
            .map(|slow| slow.after.as_millis() as u64);
        let allowance = slow_after.unwrap_or(LEASE);
        match pass.started {
            Some(started) if self.now - started >= allowance => self.settle(pass, true, true),
            _ => self.inconclusive(pass),
        }
    }

    fn counts(&self) -> (u32, u32, u32) {
        let inside = |call: &&Call| match self.settings.window {
            Window::Time { length, slices } => {
                let slice = length.as_millis() as u64 / u64::from(slices);
                self.now / slice - call.at / slice < u64::from(slices)
            }
            _ => true,
        };
        let last = match self.settings.window {
            Window::Calls(calls) => calls as usize,
            _ => usize::MAX,
        };
        let calls: Vec<_> = self.calls.iter().rev().take(last).filter(inside).collect();
        let count = |of: fn(&Call) -> bool| calls.iter().filter(|call| of(call)).count() as u32;
        (
            calls.len() as u32,
            count(|call| call.failed),
            count(|call| call.slow),
        )
    }

    fn open(&mut self) {
        self.opened += 1;
        let grown = 30_000.0 * self.settings.open_growth.powi(self.opened as i32 - 1);
        self.turn(State::Open);
        self.until = self.now + grown.min(100_000.0) as u64;
    }

    fn turn(&mut self, to: State) {
        self.state = to;
        self.generation += 1;
        (self.in_a_row, self.in_flight, self.passed) = (0, 0, 0);
        self.calls.clear();
        if to == State::Closed {
            self.opened = 0;
        }
    }

    fn force(&mut self, to: State) {
        if self.state != to {
            self.turn(to);
        }
    }

    fn release(&mut self) {
        if matches!(self.state, State::ForcedOpen | State::ForcedClosed) {
            self.turn(rest(&self.settings));
        }
    }

    fn reload(&mut self, settings: BreakerSettings) {
        let kept = settings.window == self.settings.window
            && has_rates(&settings)
            && settings.mode != Mode::Disabled;
        if !kept {
            self.calls.clear();
        }
        self.settings = settings;
        let rests = rest(&self.settings);
        let forced = matches!(self.state, State::ForcedOpen | State::ForcedClosed);
        if !forced && (self.state == State::Disabled) != (rests == State::Disabled) {
            self.turn(rests);
        }
    }
}

fn rest(settings: &BreakerSettings) -> State {
    match settings.mode {
        Mode::Disabled => State::Disabled,
        _ => State::Closed,
    }
}

fn has_rates(settings: &BreakerSettings) -> bool {
    settings.failure_rate.is_some() || settings.slow_calls.is_some()
}

fn settings(number: usize) -> BreakerSettings {
    let new = BreakerSettings::new().with_growth(2.0, Duration::from_secs(100));
    let rates = |window| {
        new.clone()
            .with_window(window)
            .with_failure_rate(0.5)
            .with_slow_calls(0.4, Duration::from_millis(800))
            .with_minimum_calls(4)
    };
    let (ten, second) = (Window::calls(10), Window::time(Duration::from_secs(1)));
    match number % 8 {
        0 => new.with_consecutive_failures(3),
        1 => rates(ten).with_consecutive_failures(0),
        2 => rates(ten),
        3 => rates(second).with_consecutive_failures(0).with_probes(2),
        4 => rates(second.with_slices(4)),
        5 => rates(ten).with_mode(Mode::ObserveOnly).with_probes(3),
        6 => rates(second).with_failure_rate(1.0),
        _ => rates(ten).with_mode(Mode::Disabled),
    }
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        3 => Just(Outcome::Success),
        4 => Just(Outcome::Failure),
        1 => Just(Outcome::retryable()),
        1 => Just(Outcome::Ignored),
    ];
    prop_oneof![
        40 => Just(Step::Admit),
        40 => (any::<usize>(), outcome).prop_map(|(which, outcome)| Step::Settle(which, outcome)),
        5 => any::<usize>().prop_map(Step::Drop),
        3 => any::<usize>().prop_map(Step::TimedOut),
        10 => (0u64..1_000).prop_map(Step::Advance),
        6 => prop_oneof![Just(9_999u64), Just(10_000), Just(30_000), Just(60_000), Just(100_000)]
            .prop_map(Step::Advance),
        1 => Just(Step::ForceOpen),
        1 => Just(Step::ForceClose),
        3 => Just(Step::Release),
        2 => any::<usize>().prop_map(Step::Reload),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn it_is_what_the_model_is(first in 0usize..8, steps in proptest::collection::vec(step(), 0..300)) {
        let (clock, time) = Clock::manual();
        let breaker = Breaker::new("model", settings(first)).unwrap().with_clock(clock);
        let mut model = Model::new(settings(first));
        let mut under_way: Vec<(Permit, Pass)> = Vec::new();
        for step in steps {
            let taken = match step {
                Step::Settle(which, _) | Step::Drop(which) | Step::TimedOut(which)
                    if !under_way.is_empty() =>
                {
                    let which = which % under_way.len();
                    Some(under_way.swap_remove(which))
                }
                _ => None,
            };
            match (step, taken) {
                (Step::Admit, _) => match (breaker.try_acquire_owned(), model.admit()) {
                    (Ok(permit), Ok(pass)) => under_way.push((permit, pass)),
                    (Err(rejection), Err((reason, wait))) => {
                        prop_assert_eq!(rejection.reason(), reason);
                        prop_assert_eq!(rejection.retry_after(), wait.map(Duration::from_millis));
                    }
                    (ours, theirs) => {
                        prop_assert!(false, "{:?}, the model: {:?}", ours, theirs.map(drop));
                    }
                },
                (Step::Settle(_, outcome), Some((permit, pass))) => {
                    permit.settle(outcome);
                    match outcome {
                        Outcome::Ignored => model.inconclusive(pass),
                        outcome => model.settle(pass, outcome.is_failure(), false),
                    }
                }
                (Step::Drop(_), Some((permit, pass))) => {
                    drop(permit);
                    model.dropped(pass);
                }
                (Step::TimedOut(_), Some((permit, pass))) => {
                    permit.timed_out();
                    model.settle(pass, true, true);
                }
                (Step::Advance(by), _) => {
                    time.advance(Duration::from_millis(by));
                    model.now += by;
                }
                (Step::ForceOpen, _) => {
                    breaker.force_open("model");
                    model.force(State::ForcedOpen);
                }
                (Step::ForceClose, _) => {
                    breaker.force_close("model");
                    model.force(State::ForcedClosed);
                }
                (Step::Release, _) => {
                    breaker.release();
                    model.release();
                }
                (Step::Reload(number), _) => {
                    breaker.reload(settings(number)).unwrap();
                    model.reload(settings(number));
                }
                (Step::Settle(..) | Step::Drop(_) | Step::TimedOut(_), None) => {}
            }
            let stats = breaker.stats();
            prop_assert_eq!(stats.state, model.state);
            if model.state == State::Closed {
                prop_assert_eq!(stats.counts.in_a_row, model.in_a_row);
                let counts = (stats.counts.calls, stats.counts.failed, stats.counts.slow);
                let counted = has_rates(&model.settings);
                prop_assert_eq!(counts, if counted { model.counts() } else { (0, 0, 0) });
            }
            prop_assert_eq!(stats.ignored, model.ignored);
            prop_assert_eq!(stats.rejected, model.rejected);
            prop_assert_eq!(stats.observed, model.observed);
            prop_assert_eq!(stats.inconclusive, model.inconclusive);
        }
    }
}
