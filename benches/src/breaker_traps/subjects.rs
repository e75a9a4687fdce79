//! Everybody's breakers, set up alike as far as they can be.

use std::time::Duration;

use tower::Layer;

use super::call::{Ended, Guarded, Inner, Subject};
use super::layered::{Layered, called};
use crate::harness::Peer;

pub(super) const OPEN_FOR: Duration = Duration::from_millis(20);
pub(super) const LEASE: Duration = Duration::from_millis(20);
pub(super) const SLOW: Duration = Duration::from_millis(5);
/// At once, where it is not one.
pub(super) const PROBES: usize = 3;

/// What a window of time is to hold all calls of.
const LONG: Duration = Duration::from_secs(600);

pub(super) const fn tower_resilience(passes: Option<fn() -> bool>) -> Peer {
    Peer {
        name: "tower-resilience",
        package: "tower-resilience-circuitbreaker",
        passes,
    }
}

pub(super) const fn recloser(passes: Option<fn() -> bool>) -> Peer {
    Peer {
        name: "recloser",
        package: "recloser",
        passes,
    }
}

pub(super) const fn failsafe(passes: Option<fn() -> bool>) -> Peer {
    Peer {
        name: "failsafe",
        package: "failsafe",
        passes,
    }
}

pub(super) const fn tower(passes: Option<fn() -> bool>) -> Peer {
    Peer {
        name: "tower",
        package: "tower",
        passes,
    }
}

pub(super) mod ours {
    use pm_resilience::Error;
    use pm_resilience::breaker::{Breaker, BreakerLayer, BreakerSettings, Window};

    use super::*;

    pub(in super::super) fn in_a_row() -> Box<dyn Subject> {
        layered(&breaker(settings()))
    }

    pub(in super::super) fn several_probes() -> Box<dyn Subject> {
        layered(&breaker(settings().with_probes(PROBES as u8)))
    }

    pub(in super::super) fn calls() -> Box<dyn Subject> {
        layered(&breaker(rates(Window::calls(10)).with_minimum_calls(10)))
    }

    pub(in super::super) fn time() -> Box<dyn Subject> {
        layered(&breaker(rates(Window::time(LONG))))
    }

    pub(in super::super) fn slow() -> Box<dyn Subject> {
        layered(&breaker(settings().with_slow_calls(0.5, SLOW)))
    }

    /// The layer, to be applied as often as one likes.
    pub(in super::super) fn layer() -> impl Fn() -> Box<dyn Subject> {
        let breaker = breaker(settings());
        move || layered(&breaker)
    }

    fn settings() -> BreakerSettings {
        let settings = BreakerSettings::new().with_open_for(OPEN_FOR);
        settings.with_probe_lease(LEASE)
    }

    fn rates(window: Window) -> BreakerSettings {
        let settings = settings().with_consecutive_failures(0);
        settings.with_failure_rate(0.5).with_window(window)
    }

    fn breaker(settings: BreakerSettings) -> Breaker {
        Breaker::new("trap", settings).expect("valid settings")
    }

    fn layered(breaker: &Breaker) -> Box<dyn Subject> {
        Box::new(Layered {
            service: BreakerLayer::new(breaker.clone()).layer(called()),
            rejects: |error: &Error<()>| matches!(error, Error::Rejected(_)),
        })
    }
}

pub(super) mod tower_resilience {
    use tower_resilience_circuitbreaker::{
        CircuitBreakerConfigBuilder, CircuitBreakerError, CircuitBreakerLayer, DefaultClassifier,
        SlidingWindowType,
    };

    use super::*;

    type Builder = CircuitBreakerConfigBuilder<DefaultClassifier>;

    pub(in super::super) fn in_a_row() -> Box<dyn Subject> {
        layered(&layer_of(builder().consecutive_failures(5)))
    }

    pub(in super::super) fn several_probes() -> Box<dyn Subject> {
        let builder = builder().consecutive_failures(5);
        layered(&layer_of(builder.permitted_calls_in_half_open(PROBES)))
    }

    pub(in super::super) fn calls() -> Box<dyn Subject> {
        let builder = builder().sliding_window_size(10);
        layered(&layer_of(builder.minimum_number_of_calls(10)))
    }

    pub(in super::super) fn time() -> Box<dyn Subject> {
        let builder = builder().sliding_window_type(SlidingWindowType::TimeBased);
        layered(&layer_of(builder.sliding_window_duration(LONG)))
    }

    pub(in super::super) fn slow() -> Box<dyn Subject> {
        let builder = builder().consecutive_failures(5);
        let builder = builder.slow_call_duration_threshold(SLOW);
        layered(&layer_of(builder.slow_call_rate_threshold(0.5)))
    }

    /// As its documentation builds it. `build_with_handle` makes one that shares its state.
    pub(in super::super) fn layer() -> impl Fn() -> Box<dyn Subject> {
        let layer = layer_of(builder().consecutive_failures(5));
        move || layered(&layer)
    }

    fn builder() -> Builder {
        let builder = CircuitBreakerLayer::builder().failure_rate_threshold(0.5);
        let builder = builder.wait_duration_in_open(OPEN_FOR);
        builder.permitted_calls_in_half_open(1)
    }

    fn layer_of(builder: Builder) -> CircuitBreakerLayer<DefaultClassifier> {
        builder.build().expect("a valid configuration")
    }

    fn layered(layer: &CircuitBreakerLayer<DefaultClassifier>) -> Box<dyn Subject> {
        Box::new(Layered {
            service: layer.layer_fn(called()),
            rejects: |error: &CircuitBreakerError<()>| error.is_circuit_open(),
        })
    }
}

pub(super) mod recloser {
    use ::recloser::{AsyncRecloser, Error, Recloser};

    use super::*;

    struct Reclosing(AsyncRecloser);

    /// It knows rates only: five calls, which have all failed.
    pub(in super::super) fn in_a_row() -> Box<dyn Subject> {
        reclosing(5, 1)
    }

    pub(in super::super) fn several_probes() -> Box<dyn Subject> {
        reclosing(5, PROBES)
    }

    pub(in super::super) fn calls() -> Box<dyn Subject> {
        reclosing(10, 1)
    }

    fn reclosing(calls: usize, probes: usize) -> Box<dyn Subject> {
        let recloser = Recloser::custom().error_rate(0.5).open_wait(OPEN_FOR);
        let recloser = recloser.closed_len(calls).half_open_len(probes).build();
        Box::new(Reclosing(AsyncRecloser::from(recloser)))
    }

    impl Subject for Reclosing {
        fn guard(&self, inner: Inner) -> Guarded {
            let call = self.0.call(inner);
            Box::pin(async move {
                match call.await {
                    Err(Error::Rejected) => Ended::Rejected,
                    _ => Ended::Answered,
                }
            })
        }
    }
}

pub(super) mod failsafe {
    use ::failsafe::futures::CircuitBreaker;
    use ::failsafe::{Config, Error, backoff, failure_policy};

    use super::*;

    struct Safe<B>(B);

    pub(in super::super) fn in_a_row() -> Box<dyn Subject> {
        let policy = failure_policy::consecutive_failures(5, backoff::constant(OPEN_FOR));
        Box::new(Safe(Config::new().failure_policy(policy).build()))
    }

    pub(in super::super) fn time() -> Box<dyn Subject> {
        let open_for = backoff::constant(OPEN_FOR);
        let policy = failure_policy::success_rate_over_time_window(0.5, 20, LONG, open_for);
        Box::new(Safe(Config::new().failure_policy(policy).build()))
    }

    impl<B> Subject for Safe<B>
    where
        B: CircuitBreaker<FailurePolicy: 'static, Instrument: 'static>,
    {
        fn guard(&self, inner: Inner) -> Guarded {
            let call = self.0.call(inner);
            Box::pin(async move {
                match call.await {
                    Err(Error::Rejected) => Ended::Rejected,
                    _ => Ended::Answered,
                }
            })
        }
    }
}
