//! How long a call may take, by the class of its operation.
//!
//! The time begins when a call has to wait for the first time: one that is ready at once costs no
//! timer and no look at the clock. A call that is ready when its time is up has its answer.
//!
//! ```
//! use std::time::Duration;
//! use pm_core::Clock;
//! use pm_resilience::{Class, Error, Timeout, Timeouts};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Timeouts::new().with_read(Duration::from_millis(800));
//! let timeout = Timeout::new("postgres", settings)?;
//! let answer: Result<u32, Error<std::io::Error>> = timeout.run(Class::Read, async { Ok(7) }).await;
//! assert_eq!(answer?, 7);
//! # Ok(()) }
//! ```
//!
//! There is nothing to give back: a time-out is over when the response's head is there. What happens
//! to the body is not timed.

mod handle;
mod layer;
mod service;
mod settings;
mod timed;

pub use self::handle::Timeout;
pub use self::layer::TimeoutLayer;
pub use self::service::{ResponseFuture, TimeoutService};
pub use self::settings::Timeouts;
pub use self::timed::{Run, Timed};
