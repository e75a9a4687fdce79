//! Rate limits: one decision, in memory, over HTTP and on a Redis.

mod decision;
mod layer;
mod peers;
mod redis;
mod zipf;

use crate::harness::{Area, Comparison};

pub(crate) const AREA: Area = Area {
    name: "ratelimit",
    comparisons: &[
        Comparison {
            what: "keyed-one",
            race: decision::keyed_one,
        },
        Comparison {
            what: "keyed-zipf-1m",
            race: decision::keyed_zipf,
        },
        Comparison {
            what: "keyed-zipf-1m-2-threads",
            race: decision::keyed_zipf_on_two_threads,
        },
        Comparison {
            what: "three-rules",
            race: decision::three_rules,
        },
        Comparison {
            what: "layer",
            race: layer::plain,
        },
        Comparison {
            what: "layer-headers",
            race: layer::with_headers,
        },
        Comparison {
            what: "redis-exact",
            race: redis::one_charge,
        },
        Comparison {
            what: "redis-exact-3",
            race: redis::three_charges,
        },
        Comparison {
            what: "redis-leased",
            race: redis::leased,
        },
    ],
};
