//! Real servers for tests: started on a free port of the loopback address, in a folder of their
//! own, and stopped when they are dropped, or when the test that owns them dies.
//!
//! Nothing here is a mock, and nothing is skipped: a server that is not installed fails the test
//! with the name of the Debian package. The functions block the thread that calls them, for
//! milliseconds mostly.

mod binary;
mod cluster;
mod port;
mod postgres;
mod process;
mod redis;
mod resp;
mod wait;

pub use self::cluster::RedisCluster;
pub use self::postgres::PostgresServer;
pub use self::redis::RedisServer;
