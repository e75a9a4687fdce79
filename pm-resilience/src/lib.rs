#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod budget;
pub mod classify;
pub mod deadline;
pub mod retry;
pub mod telemetry;
pub mod timeout;

mod class;
mod class_of;
#[cfg(feature = "serde")]
mod duration;
mod error;
mod oneshot;
mod rejection;
mod sync;

pub use self::budget::{Budget, BudgetSettings};
pub use self::class::Class;
pub use self::class_of::{ByMethod, ClassOf};
pub use self::classify::{Classify, Outcome};
pub use self::deadline::{Deadline, IncomingDeadlineLayer, OutgoingDeadlineLayer};
pub use self::error::{Error, TimedOut};
pub use self::rejection::{Pattern, Reason, Rejection};
pub use self::retry::{Retry, RetryLayer, RetrySettings};
pub use self::timeout::{Timeout, TimeoutLayer, Timeouts};
