#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod breaker;
pub mod classify;
pub mod telemetry;

mod class;
#[cfg(feature = "serde")]
mod duration;
mod error;
mod oneshot;
mod rejection;
mod sync;

pub use self::breaker::{Breaker, BreakerLayer, BreakerSettings};
pub use self::class::Class;
pub use self::classify::{Classify, Outcome};
pub use self::error::{Error, TimedOut};
pub use self::rejection::{Pattern, Reason, Rejection};
