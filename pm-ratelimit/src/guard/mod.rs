//! Where violations, blocks, rules and emergencies are kept.
//!
//! Each backend here keeps all of them, behind one connection. They are no place for buckets: those are in a
//! [`RateLimitStore`](crate::RateLimitStore).

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod follow;
mod memory;
mod position;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(test, feature = "postgres", feature = "redis", feature = "sqlite"))]
mod row;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod unreadable;

pub(crate) use self::follow::follow;
pub use self::memory::MemoryStore;
pub use self::position::Position;
#[cfg(feature = "postgres")]
pub use self::postgres::PostgresStore;
#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
#[cfg(feature = "sqlite")]
pub use self::sqlite::SqliteStore;
pub(crate) use self::unreadable::Unreadable;

/// How many quotas that were withdrawn are told of. Whoever is further behind is told that any may have
/// changed.
const WITHDRAWN: usize = 1_000;
