//! Generated from `proto/pm/v1`, committed, and compared with a fresh generation by
//! `tests/generated.rs`: building the server needs neither `protoc` nor a build script.
#![allow(missing_docs, clippy::all, unreachable_pub)]

include!("pm.v1.rs");
