//! A second attempt beside the first, where that takes unusually long. Whichever is done first has
//! the answer; the other is dropped.
//!
//! It trades load for a short tail, so it draws on the same [`Budget`](crate::Budget) as retries do,
//! and it is only for what may be made twice. Where both are used, the hedge goes inside and is made
//! [`beneath`](Hedge::beneath) the retry, so that a call deposits once.
//!
//! ```
//! use std::time::Duration;
//! use pm_resilience::classify::Errors;
//! use pm_resilience::{Budget, Hedge, HedgeSettings};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = HedgeSettings::after(Duration::from_millis(20));
//! let hedge = Hedge::new("search", settings, Budget::percent(5).with_floor_per_second(1))?;
//!
//! let mut calls = 0;
//! let answer: Result<u32, &str> = hedge
//!     .run(Errors, || {
//!         calls += 1;
//!         let first = calls == 1;
//!         async move {
//!             if first {
//!                 std::future::pending::<()>().await;
//!             }
//!             Ok(7)
//!         }
//!     })
//!     .await;
//! assert_eq!(answer, Ok(7));
//! # Ok(()) }
//! ```
//!
//! A first attempt that fails before the second has begun is the answer: trying again is what
//! [`Retry`](crate::Retry) is for. One that fails beside the other waits for it. There is no permit;
//! an attempt is done when the head of its response is there.

mod handle;
mod layer;
mod race;
mod service;
mod settings;

pub use self::handle::{Hedge, Run};
pub use self::layer::HedgeLayer;
pub use self::service::{HedgeService, ResponseFuture};
pub use self::settings::HedgeSettings;
