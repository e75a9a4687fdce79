//! What is counted, and what the counts are called. The only lines that know the `metrics` facade.
//!
//! The names are there without the feature, for dashboards and tests.

mod breaker;
mod calls;
mod server;

pub use self::breaker::*;
pub use self::calls::*;
pub use self::server::*;

/// Counts are numbers: no panic leaves them half changed, with the feature or without it.
#[cfg(feature = "metrics")]
mod unwind_safe {
    use std::panic::RefUnwindSafe;

    impl RefUnwindSafe for super::BreakerMetrics {}
    impl RefUnwindSafe for super::CheckMetrics {}
    impl RefUnwindSafe for super::CutOff {}
    impl RefUnwindSafe for super::DeadlineMetrics {}
    impl RefUnwindSafe for super::FallbackMetrics {}
    impl RefUnwindSafe for super::GateMetrics {}
    impl RefUnwindSafe for super::HedgeMetrics {}
    impl RefUnwindSafe for super::PolicyMetrics {}
    impl RefUnwindSafe for super::RetryMetrics {}
    impl RefUnwindSafe for super::ShedMetrics {}
    impl RefUnwindSafe for super::SlowLogMetrics {}
    impl RefUnwindSafe for super::TimeoutMetrics {}
}
