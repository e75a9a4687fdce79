//! How much of something one subject may have at the same time: requests, or sockets.
//!
//! A rate does not bound what lasts: a client that opens one socket a second has 3,600 of them after
//! an hour. A [`Concurrency`] hands out [`Permit`]s, so many for each subject, and takes them back
//! when they are dropped:
//!
//! ```
//! use pm_ratelimit::in_flight::Concurrency;
//! use pm_ratelimit::{By, PolicyName, Subject};
//! # let address: std::net::IpAddr = [192, 0, 2, 1].into();
//!
//! let sockets = Concurrency::new(PolicyName::from_static("sockets"), By::Client, 2);
//! let client = Subject::at(address);
//! let first = sockets.try_acquire(&client)?;
//! let second = sockets.try_acquire(&client)?;
//! assert!(sockets.try_acquire(&client).is_err());
//! drop(first);
//! assert!(sockets.try_acquire(&client).is_ok());
//! # Ok::<(), pm_ratelimit::in_flight::Full>(())
//! ```
//!
//! [`InFlightLayer`] holds one for each request, until its response's body has ended or is dropped.
//! A socket outlives the response that opens it: there the handler takes the permit out of the
//! request's extensions and holds it for as long as the socket lives.

mod future;
mod layer;
mod permits;
mod service;

use pm_core::ResponseBody;
use pm_core::body::HeldBody;

pub use self::future::ResponseFuture;
pub use self::layer::InFlightLayer;
pub use self::permits::{Concurrency, Full, Permit};
pub use self::service::InFlight;

/// A body that holds a permit until it has ended, or failed, or is dropped.
pub type PermitBody<B> = HeldBody<ResponseBody<B>, Permit>;
