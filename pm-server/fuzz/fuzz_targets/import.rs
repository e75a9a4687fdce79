//! Any bytes at all as a plan. Run with `cargo +nightly fuzz run import` in `pm-server`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pm_server::plan::invariants;

fuzz_target!(|bytes: &[u8]| {
    if let Err(broken) = invariants::check(bytes, "plan.md") {
        panic!("{broken}");
    }
});
