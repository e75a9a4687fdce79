#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod breaker;
pub mod budget;
pub mod classify;
pub mod deadline;
pub mod fallback;
pub mod hedge;
pub mod policy;
pub mod retry;
pub mod slow_log;
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

pub use self::breaker::{Breaker, BreakerLayer, BreakerSettings};
pub use self::budget::{Budget, BudgetSettings};
pub use self::class::Class;
pub use self::class_of::{ByMethod, ClassOf};
pub use self::classify::{Classify, Outcome};
pub use self::deadline::{Deadline, IncomingDeadlineLayer, OutgoingDeadlineLayer};
pub use self::error::{Error, TimedOut};
pub use self::fallback::{Fallback, FallbackLayer};
pub use self::hedge::{Hedge, HedgeLayer, HedgeSettings};
pub use self::policy::{Policy, PolicyLayer};
pub use self::rejection::{Pattern, Reason, Rejection};
pub use self::retry::{Retry, RetryLayer, RetrySettings};
pub use self::slow_log::{SlowLog, SlowLogSettings};
pub use self::timeout::{Timeout, TimeoutLayer, Timeouts};
