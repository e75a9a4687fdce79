use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics::{
    Counter, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use pm_core::Clock;
use pm_resilience::breaker::{Breaker, BreakerSettings, KeyedBreakers, Mode};
use pm_resilience::{Outcome, telemetry};

use crate::recorder::{Series, labelled};

/// Somebody who looks after each single write to a gauge.
#[derive(Clone, Default)]
struct Scrapes(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    gauges: BTreeMap<String, f64>,
    /// How many of them were 1, each time.
    at_one: Vec<usize>,
}

struct Scraped(String, Scrapes);

impl GaugeFn for Scraped {
    fn increment(&self, value: f64) {
        let Self(series, Scrapes(scrapes)) = self;
        let seen = &mut *scrapes.lock().expect("sound");
        *seen.gauges.entry(series.clone()).or_default() += value;
        let at_one = seen.gauges.values().filter(|&&value| value == 1.0);
        seen.at_one.push(at_one.count());
    }

    fn decrement(&self, value: f64) {
        self.increment(-value);
    }

    fn set(&self, _: f64) {
        panic!("breakers of one name share a gauge: none may set it");
    }
}

impl Recorder for Scrapes {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let scraped = Scraped(key.to_string(), self.clone());
        Gauge::from_arc(Arc::new(scraped))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn trap_g_in_the_middle_of_a_transition_it_stands_nowhere_at_no_moment() {
    let scrapes = Scrapes::default();
    let (clock, time) = Clock::manual();
    let breaker = with_local_recorder(&scrapes, || {
        let breaker = Breaker::new("db", BreakerSettings::new()).unwrap();
        breaker.with_clock(clock)
    });
    let seen = || std::mem::take(&mut scrapes.0.lock().expect("sound").at_one);
    drop(seen());
    for _ in 0..5 {
        breaker.try_acquire().unwrap().settle(Outcome::Failure);
    }
    time.advance(Duration::from_secs(30));
    breaker.try_acquire().unwrap().settle(Outcome::Success);
    breaker.force_open("drill");
    assert_eq!(seen(), [2, 1].repeat(4));
}

#[test]
fn trap_g_exactly_one_series_of_the_state_is_one() {
    let series = Series::default();
    let (clock, time) = Clock::manual();
    let breaker = with_local_recorder(&series, || {
        let breaker = Breaker::new("db", BreakerSettings::new()).unwrap();
        breaker.with_clock(clock)
    });
    let stands_at = |state: &str| {
        let expected = labelled(&[(&format!("breaker=db,state={state}"), 1.0)]);
        assert_eq!(series.states(), (expected, 5), "{state}");
    };
    for _round in 0..3 {
        stands_at("closed");
        let late = breaker.try_acquire().unwrap();
        for _ in 0..5 {
            breaker.try_acquire().unwrap().settle(Outcome::Failure);
        }
        stands_at("open");
        assert!(breaker.try_acquire().is_err());
        time.advance(Duration::from_secs(30));
        let probe = breaker.try_acquire().unwrap();
        stands_at("half_open");
        assert!(breaker.try_acquire().is_err());
        late.settle(Outcome::Success);
        time.advance(Duration::from_secs(10));
        let another = breaker.try_acquire().unwrap();
        stands_at("half_open");
        drop(probe);
        another.settle(Outcome::Success);
        stands_at("closed");
        breaker.force_open("drill");
        stands_at("forced_open");
        assert!(breaker.try_acquire().is_err());
        breaker.force_close("drill");
        stands_at("forced_closed");
        breaker
            .reload(BreakerSettings::new().with_mode(Mode::Disabled))
            .unwrap();
        breaker.release();
        stands_at("disabled");
        breaker.reload(BreakerSettings::new()).unwrap();
    }
    let transitions = labelled(&[
        ("breaker=db,to=closed", 6.0),
        ("breaker=db,to=disabled", 3.0),
        ("breaker=db,to=forced_closed", 3.0),
        ("breaker=db,to=forced_open", 3.0),
        ("breaker=db,to=half_open", 6.0),
        ("breaker=db,to=open", 3.0),
    ]);
    assert_eq!(
        series.counters(telemetry::BREAKER_TRANSITIONS),
        (transitions, 0)
    );
    let rejected = labelled(&[
        ("breaker=db,reason=forced_open", 3.0),
        ("breaker=db,reason=open", 3.0),
        ("breaker=db,reason=probing", 3.0),
    ]);
    assert_eq!(series.counters(telemetry::BREAKER_REJECTED), (rejected, 0));
    let ignored = labelled(&[("breaker=db", 3.0 + 3.0)]);
    assert_eq!(series.counters(telemetry::BREAKER_IGNORED).0, ignored);
    drop(breaker);
    assert_eq!(series.states(), (vec![], 6), "it stands nowhere");
}

#[test]
fn breakers_by_key_are_counted_together() {
    let series = Series::default();
    let breakers = with_local_recorder(&series, || {
        KeyedBreakers::new("hosts", BreakerSettings::new(), 10.try_into().unwrap()).unwrap()
    });
    for key in 0..7 {
        let breaker = breakers.get(&key);
        for _ in 0..key {
            if let Ok(permit) = breaker.try_acquire() {
                permit.settle(Outcome::Failure);
            }
        }
    }
    let states = labelled(&[
        ("breaker=hosts,state=closed", 5.0),
        ("breaker=hosts,state=open", 2.0),
    ]);
    assert_eq!(series.states(), (states, 4));
    assert_eq!(series.counters(telemetry::BREAKER_OBSERVED), (vec![], 1));
}
