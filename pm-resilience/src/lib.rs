#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod classify;
pub mod health;
pub mod shutdown;
pub mod telemetry;

mod caught;
mod class;
mod error;
mod rejection;
#[cfg(feature = "serde")]
mod seconds;

pub use self::class::Class;
pub use self::classify::{Classify, Outcome};
pub use self::error::{Error, TimedOut};
pub use self::rejection::{Pattern, Reason, Rejection};
