//! What matters less is refused first.
//!
//! A [`Shed`] hands out the permits of a [`Limit`](crate::limit::Limit) by [`Priority`](crate::Priority): each has a share of the
//! limit up to which it is let in, and what is above it is kept for those that matter more. With the
//! default, requests of low priority are refused from 60 % of the limit on, normal ones from 80 %, high
//! ones from 95 %.
//!
//! ```
//! use pm_resilience::Priority;
//! use pm_resilience::limit::{Limit, LimitSettings};
//! use pm_resilience::shed::{Shed, ShedSettings};
//!
//! let limit = Limit::new("api", LimitSettings::new().with_initial(10))?;
//! let shed = Shed::new(limit, ShedSettings::default())?;
//! let normal: Vec<_> = (0..10).map_while(|_| shed.try_acquire(Priority::Normal).ok()).collect();
//! assert_eq!(normal.len(), 8);
//! assert!(shed.try_acquire(Priority::Low).is_err());
//! assert!(shed.try_acquire(Priority::High).is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`ShedLayer`] is for outgoing calls and [`ShedAdmissionLayer`](crate::admission::ShedAdmissionLayer) for a
//! server. Both find the priority in the extensions of a request, and free a permit as they do where it is the
//! limit's: when the response is ready, and when its body has ended.

mod settings;
#[allow(
    clippy::module_inception,
    reason = "the noun that the folder is named after"
)]
mod shed;

pub use self::settings::ShedSettings;
pub use self::shed::Shed;

use crate::classify::Errors;
use crate::limit::LimitLayer;

/// Makes outgoing HTTP requests only with a permit for their [`Priority`](crate::Priority).
pub type ShedLayer<C = Errors> = LimitLayer<Shed, C>;
