//! What several test programs share. Each uses a part of it.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

pub mod edits;
pub mod moody;
pub mod peer;
pub mod process;
pub mod running;
pub mod schema;
pub mod server;
pub mod service;
