//! Keeping away from what does not answer: what that costs while it does.

mod breaker;

use crate::harness::{Area, Comparison};

pub(crate) const AREA: Area = Area {
    name: "resilience",
    comparisons: &[
        Comparison {
            what: "breaker-consecutive",
            race: breaker::consecutive,
        },
        Comparison {
            what: "breaker-consecutive-layer",
            race: breaker::consecutive_layer,
        },
        Comparison {
            what: "breaker-rate",
            race: breaker::rate,
        },
        Comparison {
            what: "breaker-rate-layer",
            race: breaker::rate_layer,
        },
        Comparison {
            what: "breaker-slow-call",
            race: breaker::slow_call,
        },
        Comparison {
            what: "breaker-2-threads",
            race: breaker::on_two_threads,
        },
    ],
};
