//! A live, multi-tenant project-management server.

pub mod plan;
