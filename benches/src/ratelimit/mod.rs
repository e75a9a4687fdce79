//! Rate limits: one decision, in memory, over HTTP and on a Redis; and who is kept out.

mod block;
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
            what: "block-lookup-100k-v4-miss",
            race: block::v4_miss,
        },
        Comparison {
            what: "block-lookup-100k-v4-hit",
            race: block::v4_hit,
        },
        Comparison {
            what: "block-lookup-100k-v4-hit-for-a-time",
            race: block::v4_hit_for_a_time,
        },
        Comparison {
            what: "block-lookup-100k-v6-miss",
            race: block::v6_miss,
        },
        Comparison {
            what: "block-lookup-100k-v6-hit",
            race: block::v6_hit,
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
