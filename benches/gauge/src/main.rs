//! Trap G, in a program of its own: with the metrics of everybody compiled in, what the other program
//! measures would be something else. Exit code 0: passes; 1: does not.

#[path = "../../src/breaker_traps/call.rs"]
#[allow(dead_code, reason = "not every call ends in every way here")]
mod call;
#[path = "../../src/breaker_traps/layered.rs"]
mod layered;
mod series;

use std::process::ExitCode;
use std::time::Duration;

use pm_resilience::Error;
use pm_resilience::breaker::{Breaker, BreakerLayer, BreakerSettings};
use tower::Layer;
use tower_resilience_circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer};

use self::call::{End, Subject, begin, make, pass};
use self::layered::{Layered, called};
use self::series::Series;

const OPEN_FOR: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let make_one = match std::env::args().nth(1).as_deref() {
        Some("ours") => ours,
        Some("tower-resilience") => tower_resilience,
        _ => return ExitCode::from(2),
    };
    let series = Series::default();
    let passes = metrics::with_local_recorder(&series, || {
        let subject = make_one();
        stands_in_one_place(&*subject, &series)
    });
    ExitCode::from(u8::from(!passes))
}

/// Exactly one series of the state reads 1, wherever a breaker stands.
fn stands_in_one_place(subject: &dyn Subject, series: &Series) -> bool {
    let mut at_one = Vec::new();
    for _round in 0..2 {
        while make(subject, End::Failure) {}
        at_one.push(series.at_one());
        pass(OPEN_FOR);
        let probe = begin(subject).expect("it is time for a probe");
        at_one.push(series.at_one());
        probe.end(End::Success);
        at_one.push(series.at_one());
    }
    at_one.iter().all(|count| *count == 1)
}

fn ours() -> Box<dyn Subject> {
    let settings = BreakerSettings::new().with_open_for(OPEN_FOR);
    let breaker = Breaker::new("trap", settings).expect("valid settings");
    Box::new(Layered {
        service: BreakerLayer::new(breaker).layer(called()),
        rejects: |error: &Error<()>| matches!(error, Error::Rejected(_)),
    })
}

fn tower_resilience() -> Box<dyn Subject> {
    let layer = CircuitBreakerLayer::builder()
        .consecutive_failures(5)
        .wait_duration_in_open(OPEN_FOR)
        .permitted_calls_in_half_open(1)
        .build();
    Box::new(Layered {
        service: layer.expect("a valid configuration").layer_fn(called()),
        rejects: |error: &CircuitBreakerError<()>| error.is_circuit_open(),
    })
}
