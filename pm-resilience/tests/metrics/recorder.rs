use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use pm_resilience::telemetry;

/// The series: numbers of counters, bits of gauges, numbers of samples.
#[derive(Default)]
pub struct Series(Mutex<BTreeMap<String, Arc<Number>>>);

#[derive(Default)]
pub struct Number(AtomicU64);

impl HistogramFn for Number {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Series {
    fn number(&self, key: &Key) -> Arc<Number> {
        let labels: Vec<_> = key
            .labels()
            .map(|l| format!("{}={}", l.key(), l.value()))
            .collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }

    pub fn count(&self, name: &str, labels: &str) -> u64 {
        let series = self.0.lock().unwrap();
        let key = format!("{name}{{{labels}}}");
        let number = series
            .get(&key)
            .unwrap_or_else(|| panic!("no {key} in {:?}", series.keys()));
        number.0.load(Ordering::SeqCst)
    }

    pub fn gauge(&self, name: &str, labels: &str) -> f64 {
        f64::from_bits(self.count(name, labels))
    }

    /// Those of this name that are not 0, and how many are.
    fn read(&self, name: &str, value: impl Fn(u64) -> f64) -> (Vec<(String, f64)>, usize) {
        let series = self.0.lock().unwrap();
        let of = series
            .iter()
            .filter(|(series, _)| series.starts_with(&format!("{name}{{")));
        let (zero, others): (Vec<_>, Vec<_>) = of
            .map(|(series, number)| {
                let labels = series[name.len() + 1..series.len() - 1].to_owned();
                (labels, value(number.0.load(Ordering::SeqCst)))
            })
            .partition(|(_, value)| *value == 0.0);
        (others, zero.len())
    }

    /// Where breakers stand.
    pub fn states(&self) -> (Vec<(String, f64)>, usize) {
        self.read(telemetry::BREAKER_STATE, f64::from_bits)
    }

    pub fn counters(&self, name: &str) -> (Vec<(String, f64)>, usize) {
        self.read(name, |count| count as f64)
    }
}

struct Word(Arc<Number>);

impl metrics::GaugeFn for Word {
    fn increment(&self, value: f64) {
        self.set(f64::from_bits(self.0.0.load(Ordering::SeqCst)) + value);
    }

    fn decrement(&self, value: f64) {
        self.increment(-value);
    }

    fn set(&self, value: f64) {
        self.0.0.store(value.to_bits(), Ordering::SeqCst);
    }
}

impl metrics::CounterFn for Word {
    fn increment(&self, value: u64) {
        self.0.0.fetch_add(value, Ordering::SeqCst);
    }

    fn absolute(&self, value: u64) {
        self.0.0.fetch_max(value, Ordering::SeqCst);
    }
}

impl Recorder for Series {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(Word(self.number(key))))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(Word(self.number(key))))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.number(key))
    }
}

/// What [`Series`] reads.
pub fn labelled(pairs: &[(&str, f64)]) -> Vec<(String, f64)> {
    pairs
        .iter()
        .map(|(labels, value)| ((*labels).to_owned(), *value))
        .collect()
}
