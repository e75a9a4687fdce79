//! The sync core under everything that can happen, in one thread, in virtual time, from a seed.
//!
//! The real connections, hub, writer step, client sessions and replicas, over the model of the log
//! that passes the same suite as SQLite. What is simulated is what is between them: messages that
//! wait or are lost, connections that break, restarts, readers that are slow, mutations sent twice.
//!
//! `PM_TEST_LONG=1` runs millions of steps; `PM_TEST_SEED=n` runs the one seed that failed.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod support;

#[path = "simulation/client.rs"]
mod client;
#[path = "simulation/world.rs"]
mod world;

use world::{Seen, World};

// A test has no flags.
#[allow(clippy::disallowed_methods)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

const STEPS: usize = 12_000;

fn run(seed: u64) -> Seen {
    let mut world = World::new(seed);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
    }));
    if let Err(panic) = result {
        println!("the simulation failed; repeat it with PM_TEST_SEED={seed}");
        std::panic::resume_unwind(panic);
    }
    world.seen()
}

#[test]
fn every_client_ends_equal_to_the_server() {
    if let Some(seed) = setting("PM_TEST_SEED") {
        let seen = run(seed.parse().expect("PM_TEST_SEED is a number"));
        return println!("{seen:?}");
    }
    let seeds = if setting("PM_TEST_LONG").is_some() {
        1000
    } else {
        40
    };
    let seen: Seen = (1..=seeds).map(run).sum();
    println!("{seeds} seeds of {STEPS} steps: {seen:?}");
    seen.assert_eventful(STEPS * usize::try_from(seeds).expect("there are not so many"));
}

#[test]
fn a_seed_is_a_history() {
    let history = |seed| {
        let mut world = World::new(seed);
        (0..3000).for_each(|_| world.step());
        world.history()
    };
    assert_eq!(history(77), history(77));
    assert_ne!(history(77), history(78));
}
