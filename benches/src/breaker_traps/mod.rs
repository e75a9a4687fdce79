//! What breakers, budgets and limits get wrong, each as a small scenario. All of it is in real time, on
//! the clock that each has by itself; whoever has to be waited for is waited for longer than it asks.
//!
//! A peer that has nothing that could go through a scenario is `n/a` in it:
//! * recloser and failsafe have no layers (I), no bound on probes that one of them could hold (C, H), and
//!   do not look at how long a call takes (F). failsafe has no window of calls (A), recloser none of time
//!   (E). They have breakers only (J, K, L), and no gauges (G).
//! * tower-resilience knows neither `Retry-After` nor deadlines (L). Its budget is one of successes that
//!   are counted in tokens (K); its bulkhead is the one that rejects, which it is without settings (J).
//! * tower is here where it is what people take: its limit of concurrent calls, its retry budget.
//!
//! G is looked at by a program of its own: with the metrics of both, what is measured here would be
//! something else.

mod beside;
mod breaker;
mod call;
mod gauge;
mod layered;
mod subjects;

use self::subjects::{failsafe, ours, recloser, tower, tower_resilience};
use crate::harness::{Trap, Traps};

pub(crate) const AREA: Traps = Traps {
    name: "breaker-traps",
    traps: &[
        Trap {
            letter: "A",
            what: "a count window slides",
            ours: || breaker::slides(&*ours::calls()),
            peers: &[
                tower_resilience(Some(|| breaker::slides(&*tower_resilience::calls()))),
                recloser(Some(|| breaker::slides(&*recloser::calls()))),
                failsafe(None),
            ],
        },
        Trap {
            letter: "B",
            what: "a late result of an older generation changes nothing",
            ours: || breaker::forgets_what_is_late(ours::in_a_row),
            peers: &[
                tower_resilience(Some(|| {
                    breaker::forgets_what_is_late(tower_resilience::in_a_row)
                })),
                recloser(Some(|| breaker::forgets_what_is_late(recloser::in_a_row))),
                failsafe(Some(|| breaker::forgets_what_is_late(failsafe::in_a_row))),
            ],
        },
        Trap {
            letter: "C",
            what: "a probe that hangs is replaced after its lease",
            ours: || breaker::replaces_a_probe_that_hangs(&*ours::in_a_row()),
            peers: &[
                tower_resilience(Some(|| {
                    breaker::replaces_a_probe_that_hangs(&*tower_resilience::in_a_row())
                })),
                recloser(None),
                failsafe(None),
            ],
        },
        Trap {
            letter: "D",
            what: "never more probes than there may be under 100 callers",
            ours: || breaker::bounds_probes(&*ours::several_probes()),
            peers: &[
                tower_resilience(Some(|| {
                    breaker::bounds_probes(&*tower_resilience::several_probes())
                })),
                recloser(Some(
                    || breaker::bounds_probes(&*recloser::several_probes()),
                )),
                failsafe(Some(|| breaker::bounds_probes(&*failsafe::in_a_row()))),
            ],
        },
        Trap {
            letter: "E",
            what: "the cost of a call is flat in traffic",
            ours: || breaker::costs_the_same_in_traffic(&*ours::time()),
            peers: &[
                tower_resilience(Some(|| {
                    breaker::costs_the_same_in_traffic(&*tower_resilience::time())
                })),
                recloser(None),
                failsafe(Some(|| {
                    breaker::costs_the_same_in_traffic(&*failsafe::time())
                })),
            ],
        },
        Trap {
            letter: "F",
            what: "a call that is cut off counts once it was slow",
            ours: || breaker::counts_what_is_cut_off(&*ours::slow()),
            peers: &[
                tower_resilience(Some(|| {
                    breaker::counts_what_is_cut_off(&*tower_resilience::slow())
                })),
                recloser(None),
                failsafe(None),
            ],
        },
        Trap {
            letter: "G",
            what: "exactly one series of the state gauge reads 1",
            ours: gauge::of_ours,
            peers: &[
                tower_resilience(Some(gauge::of_tower_resilience)),
                recloser(None),
                failsafe(None),
            ],
        },
        Trap {
            letter: "H",
            what: "a panic in the inner call frees its slot",
            ours: || breaker::frees_the_place_of_a_panic(&*ours::in_a_row()),
            peers: &[
                tower_resilience(Some(|| {
                    breaker::frees_the_place_of_a_panic(&*tower_resilience::in_a_row())
                })),
                recloser(None),
                failsafe(None),
            ],
        },
        Trap {
            letter: "I",
            what: "a layer that is applied for each call shares its state",
            ours: || breaker::shares_its_state(&ours::layer()),
            peers: &[
                tower_resilience(Some(|| {
                    breaker::shares_its_state(&tower_resilience::layer())
                })),
                recloser(None),
                failsafe(None),
            ],
        },
        Trap {
            letter: "J",
            what: "1,000 idle keep-alive connections hold no permit",
            ours: || beside::idle_holds_nothing(),
            peers: &[
                tower_resilience(Some(beside::idle_holds_nothing_of_tower_resilience)),
                recloser(None),
                failsafe(None),
                tower(Some(beside::idle_holds_nothing_of_tower)),
            ],
        },
        Trap {
            letter: "K",
            what: "a budget of 0.6 allows 60 retries per 100 with 64 tasks racing",
            ours: || beside::budget_is_exact(),
            peers: &[
                tower_resilience(Some(beside::budget_of_tower_resilience_is_exact)),
                recloser(None),
                failsafe(None),
                tower(Some(beside::budget_of_tower_is_exact)),
            ],
        },
        Trap {
            letter: "L",
            what: "a Retry-After beyond the deadline fails at once",
            ours: || beside::fails_at_once(),
            peers: &[tower_resilience(None), recloser(None), failsafe(None)],
        },
    ],
};
