//! The whole stack as one object: how one dependency is called.
//!
//! ```
//! use std::time::Duration;
//! use pm_resilience::{BreakerSettings, Error, Outcome, Policy, RetrySettings, Timeouts, classify};
//!
//! # #[derive(Debug)] enum UserError { NotThere, Lost }
//! # async fn user(id: u64) -> Result<String, UserError> { match id { 7 => Ok("ada".into()), 0 => Err(UserError::Lost), _ => Err(UserError::NotThere) } }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let ms = Duration::from_millis;
//! let db = Policy::named("postgres")
//!     .timeouts(Timeouts::new().with_read(ms(800)).with_write(ms(2_000)))
//!     .breaker(BreakerSettings::new())
//!     .retry(RetrySettings::exponential(ms(50), ms(1_000)).with_attempts(3))
//!     .slow_log(ms(100))
//!     // That somebody is not there is an answer of a database that works.
//!     .classify(classify::errors(|error: &UserError| match error {
//!         UserError::NotThere => Outcome::Success,
//!         UserError::Lost => Outcome::retryable(),
//!     }))
//!     .build()?;
//!
//! match db.read("user.get", || user(7)).await {
//!     Ok(name) => assert_eq!(name, "ada"),
//!     Err(Error::Rejected(rejection)) => println!("not called: {rejection}"),
//!     Err(Error::TimedOut(timed_out)) => println!("{timed_out}"),
//!     Err(Error::Inner(error)) => println!("failed: {error:?}"),
//!     Err(_) => println!("what a later version may add"),
//! }
//! # Ok(()) }
//! ```
//!
//! The order is fixed, from the outside in:
//!
//! | | what | why there |
//! | --- | --- | --- |
//! | 1 | slow log, `or_stale`, `or_else` | they look at the operation as a whole |
//! | 2 | deadline | nothing is begun that nobody waits for |
//! | 3 | limit, shedding | an operation counts once, however often it is tried |
//! | 4 | retry and budget | each attempt asks the breaker anew |
//! | 5 | breaker | it sees every attempt, and its rejections are not retried |
//! | 6 | bulkhead | what the breaker rejects takes no place; who had to wait for one asks the breaker again |
//! | 7 | attempt time-out | inside the breaker: one that is missed is a failure; waiting for a place is none of it |
//!
//! An attempt has the time of its class, or what the [`Deadline`](crate::Deadline) leaves of it. One
//! that is cut off by a deadline which left it less is nobody's failure: it says nothing to the
//! breaker, and is not retried. Nor is one whose peer gave up first, having been told how long it
//! has, if the classifier [can tell](crate::Classify::is_timeout).
//!
//! A rejection says that nothing was called. Where a retry is refused, by the breaker, the bulkhead or
//! the deadline, the result is that of the attempt before it, which is held until then.
//!
//! Only reads are retried, and what is marked with [`Call::idempotent`]; of HTTP requests those that
//! [`RetryLayer`](crate::RetryLayer) would retry. A call that is ready at once allocates nothing,
//! makes no timer, and reads the clock only for a slow log, for slow calls of the breaker, or under a
//! deadline. The breaker's permit is settled when the head of a response is there, or when its body
//! has ended: [`PolicyLayer::until_body_end`]. A place in the bulkhead is free again when the attempt
//! has ended, the permit of the limit when the operation has; the limit learns from first attempts.

mod builder;
mod call;
mod core;
mod handle;
mod hold;
mod layer;
mod moment;
mod service;
mod settings;
mod stale;

pub use self::builder::PolicyBuilder;
pub use self::call::{Call, Read};
pub use self::handle::Policy;
pub use self::hold::Owned;
pub use self::layer::PolicyLayer;
pub use self::service::{PolicyService, ResponseFuture};
pub use self::settings::PolicySettings;
pub use self::stale::{OrStale, Served};
