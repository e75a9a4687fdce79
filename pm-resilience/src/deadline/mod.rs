//! The moment by which the caller wants its answer, carried from call to call.
//!
//! A [`Deadline`] is set where a request comes in, by [`IncomingDeadlineLayer`]: from then on it
//! stands in the request's extensions and in the task, where [`Deadline::current`] reads it. Nothing
//! that is called on the way waits longer than that, and [`OutgoingDeadlineLayer`] tells the next
//! service how much is left. It only ever moves closer.
//!
//! ```
//! use std::time::Duration;
//! use pm_core::Clock;
//! use pm_resilience::Deadline;
//!
//! let (clock, time) = Clock::manual();
//! let deadline = Deadline::after(Duration::from_secs(2), &clock);
//! deadline.in_scope(|| {
//!     time.advance(Duration::from_millis(500));
//!     let here = Deadline::current().expect("inside a scope");
//!     assert_eq!(here.remaining(clock.now()), Duration::from_millis(1500));
//! });
//! assert_eq!(Deadline::current(), None);
//! ```
//!
//! # Headers
//!
//! On the way it is a time that remains, not a moment: clocks of two machines disagree.
//!
//! | request | header | value |
//! | --- | --- | --- |
//! | gRPC (`content-type: application/grpc…`) | `grpc-timeout` | one to eight digits and a unit: `H`, `M`, `S`, `m`, `u` or `n` |
//! | every other | `x-timeout-ms` | one to eight digits: milliseconds |
//!
//! One that stands there more than once, or is anything else, counts as none. Whatever is in it, a
//! deadline is never later than the one that the layer was given.
//!
//! A task-local ends at a task's edge: what is spawned has no deadline, unless it is given one with
//! [`Deadline::scope`].

mod header;
mod incoming;
mod outgoing;
mod scope;
mod value;

pub(crate) use self::header::write;
pub use self::header::{GRPC_TIMEOUT, X_TIMEOUT_MS};
pub use self::incoming::{IncomingDeadline, IncomingDeadlineLayer};
pub use self::outgoing::{OutgoingDeadline, OutgoingDeadlineLayer, ResponseFuture};
pub use self::scope::Scope;
pub use self::value::Deadline;
