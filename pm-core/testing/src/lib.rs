//! What the tests of the `pm` crates share.
//!
//! * [`ServiceProbe`] is an inner service that sees everything a layer does to it: it panics when
//!   it is called without having been asked whether it is ready, counts, and can be made to wait
//!   or to fail through its [`ProbeHandle`].
//! * [`contract`] holds what tower asks of every layer, as functions to be called on one.
//! * [`drive`] runs a future that waits for nothing outside itself.
//! * [`RedisServer`], [`RedisCluster`] and [`PostgresServer`] are real ones, on loopback ports.
//! * [`Log`] holds what is logged, line by line.
//!
//! Nothing here needs a runtime.

pub mod contract;
mod drive;
mod log;
mod probe;
mod servers;

pub use self::drive::drive;
pub use self::log::Log;
pub use self::probe::{ProbeError, ProbeFuture, ProbeHandle, ServiceProbe};
pub use self::servers::{PostgresServer, RedisCluster, RedisServer};
