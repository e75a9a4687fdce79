//! A live, multi-tenant project-management server built from the pm crates.

pub mod auth;
pub mod client;
pub mod domain;
pub mod r#gen;
pub mod plan;
mod problem;
pub mod store;
pub mod sync;
pub mod tenant;
pub mod wire;
pub mod ws;
