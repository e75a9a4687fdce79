//! The bound that is stated, and what is given back, for whatever several instances do.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

use super::*;

const INSTANCES: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Passes(u64),
    /// So many decisions of this cost.
    Asks {
        instance: usize,
        mode: Mode,
        cost: u32,
        times: u32,
    },
    Tends(usize),
    /// Without giving anything back; another one takes its place.
    Dies(usize),
    /// It gives back what it holds; another one takes its place.
    Ends(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let instance = || 0..INSTANCES;
    prop_oneof![
        4 => (0u64..8_000).prop_map(Step::Passes),
        8 => (instance(), 1u32..4, 1u32..12)
            .prop_map(|(instance, cost, times)| Step::Asks { instance, mode: Mode::Enforce, cost, times }),
        // Most of these do not fit.
        2 => (instance(), 1u32..30, 1u32..3)
            .prop_map(|(instance, cost, times)| Step::Asks { instance, mode: Mode::Shadow, cost, times }),
        3 => instance().prop_map(Step::Tends),
        1 => instance().prop_map(Step::Dies),
        1 => instance().prop_map(Step::Ends),
    ]
}

/// What has happened up to a moment.
#[derive(Clone, Copy, Debug)]
struct Moment {
    micros: u64,
    admitted: u64,
    outstanding: u64,
}

/// What was taken from the bucket at once, and has not been given back.
struct Taking {
    micros: u64,
    instance: usize,
    tokens: u64,
}

struct Model {
    quota: Quota,
    history: Vec<Moment>,
    takings: Vec<Taking>,
    admitted: u64,
}

impl Model {
    /// In no stretch of time is more admitted than the burst, the rate and what was held when it
    /// began.
    fn is_bounded(&self, latest: Moment) -> Result<(), TestCaseError> {
        let interval = u128::from(self.quota.interval_nanos());
        for earlier in &self.history {
            let admitted = u128::from(latest.admitted - earlier.admitted) * interval;
            let time = u128::from(latest.micros - earlier.micros) * 1_000;
            let at_once = u128::from(self.quota.capacity()) + u128::from(earlier.outstanding);
            prop_assert!(
                admitted <= at_once * interval + time,
                "from {earlier:?} to {latest:?}"
            );
        }
        Ok(())
    }

    /// What the bucket owes for what was taken and not given back, in nanoseconds.
    fn owed(&self, now: u64) -> u64 {
        let (mut debt, mut then) = (0u64, 0);
        for taking in &self.takings {
            debt = debt.saturating_sub((taking.micros - then) * 1_000);
            debt += taking.tokens * self.quota.interval_nanos();
            then = taking.micros;
        }
        debt.saturating_sub((now - then) * 1_000)
    }

    /// It is the last slice of the instance that is given back.
    fn returned(&mut self, instance: usize, tokens: u64) {
        let mut takings = self.takings.iter_mut().rev();
        if let Some(taking) = takings.find(|taking| taking.instance == instance) {
            taking.tokens -= tokens;
        }
    }
}

/// Many cases on one server, each with a number of its own.
fn for_all<S: Strategy>(
    cases: u32,
    strategy: &S,
    case: impl Fn(&Runtime, &Setup, u128, S::Value) -> Result<(), TestCaseError>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let setup = runtime.block_on(Setup::start());
    let numbers = AtomicU64::new(0);
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let run = runner.run(strategy, |value| {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        case(&runtime, &setup, number.into(), value)
    });
    if let Err(failure) = run {
        panic!("{failure}");
    }
}

#[test]
fn no_more_is_admitted_than_the_quota_and_what_was_held() {
    let quotas = prop_oneof![
        Just(Quota::new(1_000, Duration::from_millis(1_001)).burst(30)),
        Just(Quota::per_second(250).burst(12)),
        Just(DAILY.burst(60)),
    ];
    let steps = proptest::collection::vec(step(), 1..60);
    let cases = (quotas, 1u32..12, steps);
    for_all(
        100,
        &cases,
        |runtime, setup, number, (quota, slice, steps)| {
            let of = |cost| {
                let bucket = charge(number, 1).bucket();
                Charge::new(bucket, quota, cost).leased(slice)
            };
            let mut instances = [(); INSTANCES].map(|()| Instance::of(setup));
            let mut model = Model {
                quota,
                history: Vec::new(),
                takings: Vec::new(),
                admitted: 0,
            };
            for step in steps {
                let now = setup.now().as_nanos() / 1_000;
                let held: u64 = instances.iter().map(|one| u64::from(one.held())).sum();
                prop_assert!(held <= u64::from(slice) * INSTANCES as u64);
                model.history.push(Moment {
                    micros: now,
                    admitted: model.admitted,
                    outstanding: held,
                });
                match step {
                    Step::Passes(micros) => {
                        runtime.block_on(setup.advance(Duration::from_micros(micros)));
                    }
                    Step::Asks {
                        instance,
                        mode,
                        cost,
                        times,
                    } => {
                        for _ in 0..times {
                            let before = instances[instance].leases.stats();
                            let charges = [of(cost).with_mode(mode)];
                            let decision =
                                runtime.block_on(instances[instance].decide(setup, &charges));
                            let after = instances[instance].leases.stats();
                            // There was no room for what is of an earlier slice.
                            model.returned(instance, after.returned - before.returned);
                            let paid = after.spent - before.spent;
                            let mut tokens = after.taken - before.taken;
                            if decision.outcomes()[0].is_allowed() {
                                model.admitted += u64::from(cost);
                                tokens += u64::from(cost) - paid;
                            } else {
                                prop_assert_eq!(paid, 0);
                                prop_assert!(tokens == 0 || mode == Mode::Shadow);
                            }
                            if tokens > 0 {
                                model.takings.push(Taking {
                                    micros: now,
                                    instance,
                                    tokens,
                                });
                            }
                            prop_assert_eq!(after.lost, 0);
                            prop_assert_eq!(
                                after.taken,
                                after.spent + after.outstanding + after.returned
                            );
                        }
                    }
                    Step::Tends(instance) => {
                        let before = instances[instance].leases.stats().returned;
                        runtime.block_on(instances[instance].leases.tend());
                        let after = instances[instance].leases.stats().returned;
                        model.returned(instance, after - before);
                    }
                    Step::Dies(instance) => instances[instance] = Instance::of(setup),
                    Step::Ends(instance) => {
                        let held = instances[instance].held();
                        runtime.block_on(instances[instance].leases.release());
                        model.returned(instance, held.into());
                        instances[instance] = Instance::of(setup);
                    }
                }
                let now = setup.now().as_nanos() / 1_000;
                model.is_bounded(Moment {
                    micros: now,
                    admitted: model.admitted,
                    outstanding: 0,
                })?;
                // No bucket is fuller than if what was given back had never been taken.
                let peek = of(1).with_mode(Mode::Peek);
                let looked = runtime.block_on(setup.decide(&[peek]));
                let (debt, least) = (looked.outcomes()[0].reset_nanos(), model.owed(now));
                prop_assert!(debt >= least, "{} of {} ns are owed", debt, least);
            }
            Ok(())
        },
    );
}

/// What somebody asks of a bucket that nothing comes back to.
fn costs() -> impl Strategy<Value = Vec<(u32, Option<u32>)>> {
    let second = proptest::option::of(1u32..20);
    proptest::collection::vec((1u32..8, second), 1..60)
}

/// As long as nothing comes back, and nobody else asks, an instance with leases answers what one
/// without them would: it admits the same, and tells the same to be left.
#[test]
fn alone_an_instance_answers_as_if_it_asked_each_time() {
    let slices = (1u32..30, proptest::option::of(1u32..30));
    let cases = (slices, costs());
    for_all(
        60,
        &cases,
        |runtime, setup, number, ((slice, second_slice), costs)| {
            let instance = Instance::of(setup);
            let exact = MemoryStore::bounded(100);
            for (cost, second) in costs {
                let second = second
                    .map(|cost| charge(1 << 32 | number, cost).leased(second_slice.unwrap_or(0)));
                let charges: Vec<_> = [charge(number, cost).leased(slice)]
                    .into_iter()
                    .chain(second)
                    .collect();
                let decision = runtime.block_on(instance.decide(setup, &charges));
                let expected = exact.try_decide(&charges, setup.now()).expect("memory");
                prop_assert_eq!(decision, expected);
            }
            runtime.block_on(instance.leases.release());
            Ok(())
        },
    );
}
