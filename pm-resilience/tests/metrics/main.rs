//! Every metric, by name and label, as a recorder sees it.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod breaker;
mod calls;
mod names;
mod recorder;
mod server;
