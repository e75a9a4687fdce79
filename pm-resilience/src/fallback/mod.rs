//! Another answer where there is none.
//!
//! When a dependency fails, all of its callers take the other way at once. So a [`Fallback`] has a
//! bound of its own on how many may: what helps a few must not be what falls over next. Beyond it a
//! call has the error that it has.
//!
//! ```
//! use pm_resilience::Fallback;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let fallback = Fallback::new("prices", 50);
//! let primary = async { Err::<u32, _>("no answer") };
//! let price = fallback.run(primary, |_| async { Ok(100) }).await;
//! assert_eq!(price, Ok(100));
//! # }
//! ```
//!
//! Its permit is freed when the other answer is ready, not when the body of a response ends.
//!
//! Data that a cache still holds is a fallback, too: `or_stale` of a
//! [`Policy`](crate::Policy)'s reads.

mod handle;
mod layer;
mod run;
mod service;

pub use self::handle::Fallback;
pub use self::layer::FallbackLayer;
pub use self::run::Run;
pub use self::service::{FallbackService, ResponseFuture};
