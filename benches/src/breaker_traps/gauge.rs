//! The gauge of the state. It is looked at by a program of its own, which is built when it is wanted.

use std::process::Command;

pub(super) fn of_ours() -> bool {
    passes("ours")
}

pub(super) fn of_tower_resilience() -> bool {
    passes("tower-resilience")
}

fn passes(who: &str) -> bool {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["run", "--quiet", "--release", "--locked", "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    cargo.args(["--package", "pm-benches-gauge", "--", who]);
    let status = cargo.status().expect("cargo is there: it has built this");
    match status.code() {
        Some(0) => true,
        Some(1) => false,
        _ => panic!("the program that looks at gauges was not built, or failed: {status}"),
    }
}
