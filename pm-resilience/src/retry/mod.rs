//! Calls that are made again, with a growing, jittered wait in between.
//!
//! Four things bound it. Only what may be repeated is. A [`Budget`](crate::Budget) bounds the
//! retries of all callers together; it is drawn on before the wait. Nobody sleeps past its
//! [`Deadline`](crate::Deadline): a retry that could only begin then is not made, and the failure is
//! returned at once. And a rejection is never retried: whoever said no meant it.
//!
//! ```
//! use std::time::Duration;
//! use pm_resilience::classify::Errors;
//! use pm_resilience::{Budget, Retry, RetrySettings};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = RetrySettings::exponential(Duration::from_millis(1), Duration::from_secs(1));
//! let budget = Budget::percent(20).with_floor_per_second(10);
//! let retry = Retry::new("orders", settings.with_attempts(3), budget)?;
//!
//! let mut calls = 0;
//! let answer: Result<u32, &str> = retry
//!     .run(Errors, || {
//!         calls += 1;
//!         std::future::ready(if calls == 3 { Ok(7) } else { Err("busy") })
//!     })
//!     .await;
//! assert_eq!(answer, Ok(7));
//! # Ok(()) }
//! ```
//!
//! There is no permit: what was withdrawn is spent. A call is done when the head of its response is
//! there; a body that fails behind it is not retried.

mod backoff;
mod body;
mod future;
mod handle;
mod layer;
mod run;
mod service;
mod settings;
mod source;

pub use self::body::{BUFFERED_AT_MOST, BUFFERED_WITHIN, ReplayBody};
pub use self::future::ResponseFuture;
pub use self::handle::{GivenUp, Retry};
pub use self::layer::{Idempotent, RetryLayer};
pub use self::run::Run;
pub use self::service::RetryService;
pub use self::settings::{Jitter, RetrySettings};
pub(crate) use self::source::Source;
