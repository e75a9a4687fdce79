//! What is counted, and what the counts are called. The only lines that know the `metrics` facade.
//!
//! The names are there without the feature, for dashboards and tests.

mod calls;
mod server;

pub use self::calls::*;
pub use self::server::*;
