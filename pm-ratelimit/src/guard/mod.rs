//! Where violations and blocks are kept.
//!
//! Each backend here keeps both, behind one connection. They are no place for buckets: those are in a
//! [`RateLimitStore`](crate::RateLimitStore).

mod memory;

pub use self::memory::MemoryStore;
