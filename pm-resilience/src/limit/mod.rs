//! As many at the same time as can be done well, found out while it runs.
//!
//! A fixed limit is right for one machine and one load. A [`Limit`] watches how long calls take and
//! whether they are lost, and moves:
//!
//! * [`Rule::Gradient`], the default, compares latency with that of an idle service: what is longer
//!   was spent in a queue, and the limit shrinks by that share. What an idle service takes is found out
//!   again and again, at moments of a jitter, by letting in less for a moment.
//! * [`Rule::Aimd`] adds a little while latency is below a bound that you know, and takes a share away
//!   when it is not, or when a call was lost.
//!
//! Both look at windows of time, not at calls: at most one decrease a window, and none by a window that
//! says too little. The limit grows only while at least half of it is in use. A call that timed out,
//! or failed, is lost; a long stream counts until its head is there.
//!
//! By gradient, a small queue is left on purpose, so that nobody is idle who could work: above a dozen
//! calls at the same time less than a fifth of them. Of fewer, one more is a larger share than that:
//! about half again as many are let in where two can be worked on.
//!
//! ```
//! use pm_resilience::Outcome;
//! use pm_resilience::limit::{Limit, LimitSettings};
//!
//! let limit = Limit::new("search", LimitSettings::default())?;
//! let permit = limit.try_acquire()?;
//! // ... the call ...
//! permit.settle(Outcome::Success);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`LimitLayer`] is for outgoing calls: rejections are errors, and a permit is freed when the response is
//! ready. [`LimitAdmissionLayer`](crate::admission::LimitAdmissionLayer) is for a server: rejections are
//! answers, and a permit is freed when the body of the response has ended. Both with priorities:
//! [`shed`](crate::shed).

mod estimate;
mod future;
mod layer;
#[allow(
    clippy::module_inception,
    reason = "the noun that the folder is named after"
)]
mod limit;
#[cfg(all(test, pm_loom))]
mod loom_tests;
mod permit;
mod permits;
mod probe;
mod service;
mod settings;
mod window;

pub use self::future::ResponseFuture;
pub use self::layer::LimitLayer;
pub use self::limit::Limit;
pub use self::permit::Permit;
pub use self::permits::Permits;
pub use self::service::LimitService;
pub use self::settings::{LimitSettings, Rule};
