//! A limit that adapts: handles in virtual time, and a simulated service of a capacity that changes.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use pm_core::{Clock, ManualTime, Tick};
use pm_resilience::limit::{Limit, LimitSettings, Permit, Rule};
use pm_resilience::shed::{Shed, ShedSettings};
use pm_resilience::{Outcome, Pattern, Priority, Reason};

/// `PM_TEST_LONG=1` tries 60 instead of 4.
fn seeds() -> std::ops::Range<u64> {
    #[allow(clippy::disallowed_methods, reason = "a switch of the tests")]
    match std::env::var_os("PM_TEST_LONG") {
        Some(_) => 0..60,
        None => 0..4,
    }
}

const MILLI: Duration = Duration::from_millis(1);

/// A service that works on so many at a time, each for so long give or take 30 %, first come first
/// served. Who is in front of it asks for a permit first.
struct Service {
    limit: Limit,
    shed: Shed,
    time: ManualTime,
    clock: Clock,
    random: fastrand::Rng,
    workers: usize,
    takes: Duration,
    queue: VecDeque<(Permit, Priority)>,
    working: BinaryHeap<Reverse<(Tick, u64)>>,
    under_way: HashMap<u64, (Permit, Priority)>,
    next: u64,
    counts: HashMap<Priority, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    offered: u32,
    done: u32,
}

impl Service {
    fn new(settings: LimitSettings, workers: usize, takes: Duration, seed: u64) -> Self {
        // The jitter of probes.
        fastrand::seed(seed);
        let (clock, time) = Clock::manual();
        let limit = Limit::new("service", settings)
            .unwrap()
            .with_clock(clock.clone());
        Self {
            shed: Shed::new(limit.clone(), ShedSettings::default()).unwrap(),
            limit,
            time,
            clock,
            random: fastrand::Rng::with_seed(seed),
            workers,
            takes,
            queue: VecDeque::new(),
            working: BinaryHeap::new(),
            under_way: HashMap::new(),
            next: 0,
            counts: HashMap::new(),
        }
    }

    /// In calls per second.
    fn capacity(&self) -> f64 {
        self.workers as f64 / self.takes.as_secs_f64()
    }

    /// Offers so many calls per second, at random, for so long, and looks at it every 100 ms.
    fn run(
        &mut self,
        lasts: Duration,
        rate: f64,
        mut look: impl FnMut(&Self),
        mut priority: impl FnMut(&mut fastrand::Rng) -> Option<Priority>,
    ) {
        let end = self.clock.now() + lasts;
        let mut arrival = self.clock.now();
        let mut tenth = self.clock.now();
        while self.clock.now() < end {
            let done = self.working.peek().map(|Reverse((at, _))| *at);
            let next = arrival.min(tenth).min(done.unwrap_or(Tick::MAX));
            self.time
                .advance(next.saturating_duration_since(self.clock.now()));
            if done == Some(next) {
                self.complete();
            } else if next == tenth {
                look(self);
                tenth += 100 * MILLI;
            } else {
                let priority = priority(&mut self.random);
                self.arrive(priority);
                let gap = -(1.0 - self.random.f64()).ln() / rate;
                arrival += Duration::from_secs_f64(gap);
            }
        }
    }

    fn arrive(&mut self, priority: Option<Priority>) {
        let acquired = match priority {
            Some(priority) => self.shed.try_acquire(priority),
            None => self.limit.try_acquire(),
        };
        let priority = priority.unwrap_or_default();
        self.counts.entry(priority).or_default().offered += 1;
        if let Ok(permit) = acquired {
            self.queue.push_back((permit, priority));
            self.work();
        }
    }

    fn work(&mut self) {
        while self.working.len() < self.workers
            && let Some(call) = self.queue.pop_front()
        {
            let takes = self.takes.mul_f64(0.7 + 0.6 * self.random.f64());
            self.working
                .push(Reverse((self.clock.now() + takes, self.next)));
            self.under_way.insert(self.next, call);
            self.next += 1;
        }
    }

    fn complete(&mut self) {
        let Reverse((_, id)) = self.working.pop().unwrap();
        let (permit, priority) = self.under_way.remove(&id).unwrap();
        permit.settle(Outcome::Success);
        self.counts.entry(priority).or_default().done += 1;
        self.work();
    }

    fn plain(&mut self, lasts: Duration, rate: f64) {
        self.run(lasts, rate, |_| {}, |_| None);
    }

    /// The limit from 10 s behind a change on, for 3 s, every tenth of a second.
    fn limits_after_ten_seconds(&mut self, rate: f64) -> Vec<u64> {
        self.plain(Duration::from_secs(10), rate);
        let mut limits = Vec::new();
        let look = |service: &Self| limits.push(service.limit.limit());
        self.run(Duration::from_secs(3), rate, look, |_| None);
        limits
    }
}

fn gradient() -> LimitSettings {
    LimitSettings::default()
}

fn aimd(takes: Duration) -> LimitSettings {
    LimitSettings {
        rule: Rule::aimd(takes.mul_f64(1.15)),
        ..LimitSettings::default()
    }
}

fn within_a_fifth(what: &str, limits: &[u64], optimum: usize) {
    let optimum = optimum as f64;
    let mean = limits.iter().sum::<u64>() as f64 / limits.len() as f64;
    assert!(
        (0.8 * optimum..=1.2 * optimum).contains(&mean),
        "{what}: {mean} instead of {optimum}: {limits:?}"
    );
}

#[test]
fn ten_seconds_after_a_step_in_capacity_it_is_within_a_fifth_of_the_optimum() {
    for seed in seeds() {
        for (rule, settings) in [("gradient", gradient()), ("aimd", aimd(50 * MILLI))] {
            let mut service = Service::new(settings, 40, 50 * MILLI, seed);
            for workers in [40, 80, 25, 60] {
                service.workers = workers;
                let rate = 2.0 * service.capacity();
                let limits = service.limits_after_ten_seconds(rate);
                within_a_fifth(
                    &format!("{rule}, seed {seed}, {workers} workers"),
                    &limits,
                    workers,
                );
            }
        }
    }
}

#[test]
fn a_service_that_becomes_slower_is_not_taken_for_a_queue() {
    for seed in seeds() {
        let mut service = Service::new(gradient(), 40, 50 * MILLI, seed);
        for takes in [50, 150, 30] {
            service.takes = takes * MILLI;
            let rate = 2.0 * service.capacity();
            let limits = service.limits_after_ten_seconds(rate);
            within_a_fifth(&format!("seed {seed}, {takes} ms"), &limits, 40);
        }
    }
}

#[test]
fn at_three_times_the_load_nine_tenths_of_the_capacity_are_used() {
    for seed in seeds() {
        for (rule, settings) in [("gradient", gradient()), ("aimd", aimd(50 * MILLI))] {
            let mut service = Service::new(settings, 40, 50 * MILLI, seed);
            let rate = 3.0 * service.capacity();
            service.plain(Duration::from_secs(10), rate);
            service.counts.clear();
            service.plain(Duration::from_secs(30), rate);
            let done: u32 = service.counts.values().map(|count| count.done).sum();
            let goodput = f64::from(done) / 30.0 / service.capacity();
            assert!(goodput >= 0.9, "{rule}, seed {seed}: {goodput}");
        }
    }
}

#[test]
fn at_three_times_the_load_what_matters_more_gets_through() {
    for seed in seeds() {
        let mut service = Service::new(gradient(), 40, 50 * MILLI, seed);
        let rate = 3.0 * service.capacity();
        // A tenth of it is high: a third of what can be done.
        let priority = |random: &mut fastrand::Rng| {
            Some(match random.u8(..10) {
                0 => Priority::High,
                1..6 => Priority::Normal,
                _ => Priority::Low,
            })
        };
        service.run(Duration::from_secs(10), rate, |_| {}, priority);
        service.counts.clear();
        service.run(Duration::from_secs(30), rate, |_| {}, priority);
        let high = service.counts[&Priority::High];
        let success = f64::from(high.done) / f64::from(high.offered);
        assert!(success >= 0.99, "seed {seed}: {success} of {high:?}");
        let done: u32 = service.counts.values().map(|count| count.done).sum();
        let goodput = f64::from(done) / 30.0 / service.capacity();
        assert!(goodput >= 0.9, "seed {seed}: {goodput}");
        let (normal, low) = (
            service.counts[&Priority::Normal],
            service.counts[&Priority::Low],
        );
        assert!(normal.done > low.done, "{normal:?} {low:?}");
    }
}

fn limit(settings: LimitSettings) -> (Limit, ManualTime) {
    let (clock, time) = Clock::manual();
    (
        Limit::new("limit", settings).unwrap().with_clock(clock),
        time,
    )
}

#[test]
fn idle_calls_never_let_it_grow() {
    for rule in [Rule::gradient(), Rule::aimd(Duration::from_secs(1))] {
        let (limit, time) = limit(LimitSettings { rule, ..gradient() });
        for _ in 0..10_000 {
            let permits: Vec<_> = (0..4).map(|_| limit.try_acquire().unwrap()).collect();
            time.advance(10 * MILLI);
            permits.into_iter().for_each(|p| p.settle(Outcome::Success));
        }
        assert!(limit.limit() <= 20, "{rule:?}: {}", limit.limit());
    }
}

#[test]
fn a_window_decreases_it_once_however_many_calls_were_lost() {
    let (limit, time) = limit(aimd(50 * MILLI));
    let permits: Vec<_> = (0..20).map(|_| limit.try_acquire().unwrap()).collect();
    assert!(limit.try_acquire().is_err());
    time.advance(100 * MILLI);
    permits.into_iter().for_each(Permit::timed_out);
    assert_eq!(limit.limit(), 18);
}

#[test]
fn a_call_that_is_given_up_late_is_lost_and_one_given_up_early_says_nothing() {
    for (after, left) in [(999, 20), (1_000, 18)] {
        let (limit, time) = limit(aimd(50 * MILLI));
        let permits: Vec<_> = (0..10).map(|_| limit.try_acquire().unwrap()).collect();
        time.advance(after * MILLI);
        drop(permits);
        assert_eq!(limit.limit(), left, "after {after} ms");
        assert_eq!(limit.in_flight(), 0);
    }
}

#[test]
fn what_is_said_first_counts_and_what_is_ignored_says_nothing() {
    let (limit, time) = limit(aimd(50 * MILLI));
    for _ in 0..20 {
        let mut permit = limit.try_acquire().unwrap();
        time.advance(10 * MILLI);
        permit.tell(Outcome::Ignored);
        permit.timed_out();
    }
    assert_eq!(limit.limit(), 20);
}

#[test]
fn a_rejection_names_the_limit() {
    let (limit, _time) = limit(LimitSettings {
        initial: 1,
        ..gradient()
    });
    let _permit = limit.try_acquire().unwrap();
    let rejection = limit.try_acquire().unwrap_err();
    assert_eq!(rejection.name(), "limit");
    assert_eq!(
        (rejection.by(), rejection.reason()),
        (Pattern::Limit, Reason::Full)
    );
}

#[test]
fn settings_change_and_what_was_learnt_stays() {
    let (limit, time) = limit(aimd(50 * MILLI));
    let permits: Vec<_> = (0..20).map(|_| limit.try_acquire().unwrap()).collect();
    time.advance(100 * MILLI);
    permits.into_iter().for_each(Permit::timed_out);
    let wider = LimitSettings {
        initial: 500,
        ..gradient()
    };
    limit.reload(wider.clone()).unwrap();
    assert_eq!(limit.limit(), 18);
    limit
        .reload(LimitSettings {
            max: 7,
            initial: 7,
            ..wider
        })
        .unwrap();
    assert_eq!(limit.limit(), 7);
    let permits: Vec<_> = std::iter::from_fn(|| limit.try_acquire().ok()).collect();
    assert_eq!(permits.len(), 7);
}

#[test]
fn a_setting_that_is_not_valid_is_named() {
    let with = |change: fn(&mut LimitSettings)| {
        let mut settings = gradient();
        change(&mut settings);
        Limit::new("x", settings).unwrap_err().field().to_owned()
    };
    assert_eq!(with(|s| s.min = 0), "min");
    assert_eq!(with(|s| s.max = 0), "max");
    assert_eq!(with(|s| s.initial = 2_000), "initial");
    assert_eq!(with(|s| s.window = Duration::ZERO), "window");
    assert_eq!(with(|s| s.samples = 0), "samples");
    assert_eq!(with(|s| s.steepest = f64::NAN), "steepest");
    assert_eq!(with(|s| s.rule = Rule::aimd(Duration::ZERO)), "rule.slow");
    let (limit, _time) = limit(gradient());
    let shares = ShedSettings {
        low: 0.9,
        ..ShedSettings::default()
    };
    assert_eq!(Shed::new(limit, shares).unwrap_err().field(), "normal");
}

#[test]
fn shares_are_those_of_the_limit() {
    let (limit, _time) = limit(LimitSettings {
        initial: 100,
        ..gradient()
    });
    let shed = Shed::new(limit, ShedSettings::default()).unwrap();
    let mut held = Vec::new();
    for (priority, up_to) in [
        (Priority::Low, 60),
        (Priority::Normal, 80),
        (Priority::High, 95),
        (Priority::Critical, 100),
    ] {
        held.extend(std::iter::from_fn(|| shed.try_acquire(priority).ok()));
        assert_eq!(held.len(), up_to, "{priority}");
        let rejection = shed.try_acquire(priority).unwrap_err();
        assert_eq!(rejection.reason(), Reason::Overloaded);
    }
}
