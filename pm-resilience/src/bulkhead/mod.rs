//! So many calls at the same time, so that one slow dependency cannot take everything that there is.
//!
//! A [`Bulkhead`] has a fixed number of permits. Who finds none is rejected, or waits: in a queue of
//! bounded length, for a bounded time, in order of arrival.
//!
//! ```
//! use std::num::NonZeroU32;
//! use pm_resilience::bulkhead::{Bulkhead, BulkheadSettings};
//!
//! let two = BulkheadSettings::new().with_max(NonZeroU32::new(2).unwrap());
//! let reports = Bulkhead::new("reports", two);
//! let (first, second) = (reports.try_acquire()?, reports.try_acquire()?);
//! assert_eq!(reports.try_acquire().unwrap_err().to_string(),
//!     "reports: as many calls as there may be are under way");
//! drop(first);
//! assert!(reports.try_acquire().is_ok());
//! # Ok::<(), pm_resilience::Rejection>(())
//! ```
//!
//! [`BulkheadLayer`] is for outgoing calls: rejections are errors, and a permit is freed when the
//! response is ready. [`BulkheadAdmissionLayer`](crate::admission::BulkheadAdmissionLayer) is for a
//! server: rejections are answers, and a permit is freed when the body of the response has ended.

mod acquire;
#[allow(
    clippy::module_inception,
    reason = "the noun that the folder is named after"
)]
mod bulkhead;
mod future;
mod layer;
mod service;
mod settings;

pub use self::acquire::Acquire;
pub use self::bulkhead::{Bulkhead, Permit};
pub use self::future::ResponseFuture;
pub use self::layer::BulkheadLayer;
pub use self::service::BulkheadService;
pub use self::settings::BulkheadSettings;
