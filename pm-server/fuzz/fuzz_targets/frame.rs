//! Any bytes at all as a message on a socket. Run with `cargo +nightly fuzz run frame` in `pm-server`.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../tests/support/peer.rs"]
mod peer;

fuzz_target!(|bytes: &[u8]| peer::chew(bytes));
