//! One decision in memory, asked for directly: digest, clock and look-up included.

use std::net::Ipv4Addr;

use pm_core::Clock;
use pm_ratelimit::{By, Limiter, MemoryStore, Op, Rule, Rules, Stage, Subject};

use super::peers::{self, AxumGcra, GENEROUS, Limitador};
use super::zipf::{KEYS, Zipf};
use crate::harness::{Race, Rounds, Threads};

const ROUNDS: u64 = 1 << 20;

/// Of those that take microseconds.
const FEWER: u64 = 1 << 17;

pub(super) fn keyed_one() -> Race {
    let (ours, governor) = (peers::ours(), peers::governor());
    let (axum_gcra, limitador) = (AxumGcra::new(), Limitador::new());
    Race::new(Rounds::new(ROUNDS, move |_| check(&ours, 1)))
        .against(
            "governor",
            Rounds::new(ROUNDS, move |_| admitted(governor.check_key(&1).is_ok())),
        )
        .against(
            "axum_gcra",
            Rounds::new(ROUNDS, move |_| admitted(axum_gcra.check(1))),
        )
        .against(
            "limitador",
            Rounds::new(FEWER, move |_| admitted(limitador.check(1))),
        )
}

pub(super) fn keyed_zipf() -> Race {
    let (ours, governor) = (peers::ours(), peers::governor());
    let (axum_gcra, limitador) = (AxumGcra::new(), Limitador::new());
    for key in 0..KEYS {
        check(&ours, key);
        admitted(governor.check_key(&key).is_ok());
        admitted(axum_gcra.check(key));
        admitted(limitador.check(key));
    }
    let zipf = Zipf::new();
    let draw = || {
        let zipf = zipf.clone();
        move |round| zipf.key(round)
    };
    let key = draw();
    let race = Race::new(Rounds::new(ROUNDS, move |round| check(&ours, key(round))));
    let key = draw();
    let race = race
        .against(
            "governor",
            Rounds::new(ROUNDS, move |round| {
                admitted(governor.check_key(&key(round)).is_ok())
            }),
        )
        .at_most(0.7);
    let key = draw();
    let race = race.against(
        "axum_gcra",
        Rounds::new(ROUNDS, move |round| admitted(axum_gcra.check(key(round)))),
    );
    let key = draw();
    race.against(
        "limitador",
        Rounds::new(FEWER, move |round| admitted(limitador.check(key(round)))),
    )
}

pub(super) fn keyed_zipf_on_two_threads() -> Race {
    let (ours, governor, axum_gcra) = (peers::ours(), peers::governor(), AxumGcra::new());
    for key in 0..KEYS {
        check(&ours, key);
        admitted(governor.check_key(&key).is_ok());
        admitted(axum_gcra.check(key));
    }
    let zipf = Zipf::new();
    let (first, second, third) = (zipf.clone(), zipf.clone(), zipf);
    let ours = Threads::new(2, ROUNDS, move |round| check(&ours, first.key(round)));
    Race::new(ours)
        .against(
            "governor",
            Threads::new(2, ROUNDS, move |round| {
                admitted(governor.check_key(&second.key(round)).is_ok())
            }),
        )
        .against(
            "axum_gcra",
            Threads::new(2, ROUNDS, move |round| {
                admitted(axum_gcra.check(third.key(round)))
            }),
        )
}

/// Two subjects, three buckets, and an operation that is looked up: beside one check of governor's.
pub(super) fn three_rules() -> Race {
    let by = |by| {
        Rule::always()
            .by(by)
            .quota(GENEROUS)
            .stage(Stage::Identified)
    };
    let rules = Rules::new()
        .rule("client", by(By::Client))
        .rule("connection", by(By::Connection))
        .rule(
            "tasks",
            Rule::on("task.*").by(By::Connection).quota(GENEROUS),
        );
    let ours = Limiter::builder(rules)
        .store(MemoryStore::bounded(3 * KEYS as usize))
        .clock(Clock::counter())
        .build()
        .expect("valid rules");
    let decide = move |key: u64| {
        let client = Ipv4Addr::from_bits(key as u32);
        let subject = Subject::at(std::net::IpAddr::V4(client)).connection(key);
        let verdict = ours.try_check(&subject, Op::new("task.update"));
        admitted(verdict.is_some_and(|verdict| verdict.is_allowed()))
    };
    let governor = peers::governor();
    for key in 0..KEYS {
        decide(key);
        admitted(governor.check_key(&key).is_ok());
    }
    let zipf = Zipf::new();
    let key = zipf.clone();
    Race::new(Rounds::new(ROUNDS, move |round| decide(key.key(round))))
        .against(
            "governor",
            Rounds::new(ROUNDS, move |round| {
                admitted(governor.check_key(&zipf.key(round)).is_ok())
            }),
        )
        .at_most(2.0)
}

fn check(limiter: &Limiter, key: u64) {
    let verdict = limiter.try_check(&Subject::new().connection(key), 1);
    admitted(verdict.is_some_and(|verdict| verdict.is_allowed()));
}

/// A refusal costs something else, and is not what is measured.
pub(super) fn admitted(admitted: bool) {
    assert!(admitted, "the limit is not to be reached");
}
