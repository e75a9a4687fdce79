//! A handle on a Redis or Valkey server (6.2 or later), or on a cluster of them, that never makes
//! anybody wait for one that is gone.
//!
//! ```no_run
//! use pm_core::redis::{Command, Endpoint, Options, Redis, Script};
//!
//! # async fn example() -> Result<(), pm_core::redis::Error> {
//! let redis = Redis::connect(Endpoint::single("redis://127.0.0.1/")?, Options::new()).await?;
//! redis.call(&Command::new("SET").arg("greeting").arg("hello")).await?;
//!
//! let append = Script::new("return redis.call('APPEND', KEYS[1], ARGV[1])");
//! let length = redis.run(&append.on(["greeting"]).arg(", world")).await?.integer()?;
//! assert_eq!(length, 12);
//! # Ok(())
//! # }
//! ```
//!
//! * **Bounded.** Every call ends within its deadline, 5 ms by default, redirections and the one
//!   retry of a script included.
//! * **Down at once.** The first call that misses its deadline or loses its connection throws a
//!   [`Switch`](crate::degrade::Switch); until a probe has passed, calls fail at once, with
//!   [`Error::Unavailable`], and nothing is sent. The probe runs beside them, every 200 ms.
//! * **Never twice.** A command is sent once. It is sent again only if the server said that it did
//!   not carry it out: a script that it does not know (`NOSCRIPT`, once, with the script's text),
//!   and a slot that is served elsewhere (`MOVED`, `ASK`). Whether a call that failed may have acted
//!   is in the kind of [`Error`].
//! * **One connection** per server, shared by all calls.
//!
//! No type of the client library is in this interface, except that an [`Endpoint`] can be made
//! from its clients. Settings that an address cannot express, such as TLS, come in that way.

mod argument;
mod command;
mod connection;
mod endpoint;
mod error;
mod handle;
mod link;
mod options;
mod probe;
mod reply;
mod script;
mod slot;

pub use self::argument::Argument;
pub use self::command::Command;
pub use self::connection::Connection;
pub use self::endpoint::Endpoint;
pub use self::error::{Error, ErrorReply};
pub use self::handle::Redis;
pub use self::options::Options;
pub use self::reply::Reply;
pub use self::script::{Invocation, Script};
pub use self::slot::Slot;
