#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod admission;
pub mod breaker;
pub mod budget;
pub mod bulkhead;
pub mod classify;
pub mod deadline;
pub mod fallback;
pub mod health;
pub mod hedge;
pub mod limit;
pub mod policy;
pub mod retry;
pub mod shed;
pub mod shutdown;
pub mod slow_log;
pub mod telemetry;
pub mod timeout;

mod caught;
mod class;
mod class_of;
mod error;
mod oneshot;
mod priority;
mod rejection;
mod slots;
mod sync;

pub use self::admission::{
    AdmissionLayer, BulkheadAdmissionLayer, LimitAdmissionLayer, ShedAdmissionLayer,
};
pub use self::breaker::{Breaker, BreakerLayer, BreakerSettings};
pub use self::budget::{Budget, BudgetSettings};
pub use self::bulkhead::{Bulkhead, BulkheadLayer, BulkheadSettings};
pub use self::class::Class;
pub use self::class_of::{ByMethod, ClassOf};
pub use self::classify::{Classify, Outcome};
pub use self::deadline::{Deadline, IncomingDeadlineLayer, OutgoingDeadlineLayer};
pub use self::error::{Error, TimedOut};
pub use self::fallback::{Fallback, FallbackLayer, FallbackSettings};
pub use self::hedge::{Hedge, HedgeLayer, HedgeSettings};
pub use self::limit::{Limit, LimitLayer, LimitSettings};
pub use self::policy::{Policy, PolicyLayer, PolicySettings};
pub use self::priority::Priority;
pub use self::rejection::{Pattern, Reason, Rejection};
pub use self::retry::{Retry, RetryLayer, RetrySettings};
pub use self::shed::{Shed, ShedLayer, ShedSettings};
pub use self::slow_log::{SlowLog, SlowLogLayer, SlowLogSettings};
pub use self::timeout::{Timeout, TimeoutLayer, Timeouts};
