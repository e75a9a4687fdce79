//! A live, multi-tenant project-management server built from the pm crates.

pub mod auth;
pub mod domain;
pub mod r#gen;
mod problem;
pub mod store;
pub mod sync;
pub mod tenant;
pub mod wire;
