#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod admission;
pub mod bulkhead;
pub mod classify;
pub mod health;
pub mod limit;
pub mod shed;
pub mod shutdown;
pub mod telemetry;

mod caught;
mod class;
#[cfg(feature = "serde")]
mod duration;
mod error;
mod oneshot;
mod priority;
mod rejection;
mod sync;

pub use self::admission::{AdmissionLayer, BulkheadAdmissionLayer, LimitLayer, ShedLayer};
pub use self::bulkhead::{Bulkhead, BulkheadLayer, BulkheadSettings};
pub use self::class::Class;
pub use self::classify::{Classify, Outcome};
pub use self::error::{Error, TimedOut};
pub use self::limit::{Limit, LimitSettings};
pub use self::priority::Priority;
pub use self::rejection::{Pattern, Reason, Rejection};
pub use self::shed::{Shed, ShedSettings};
