//! Letting requests in, or answering that there is too much to do: the server's side of
//! [`Bulkhead`], [`Limit`] and [`Shed`].
//!
//! | layer | lets in | reads from the request |
//! | --- | --- | --- |
//! | [`BulkheadAdmissionLayer`] | a fixed number, others wait as its settings say | |
//! | [`LimitAdmissionLayer`] | as many as the limit has found to be right | |
//! | [`ShedAdmissionLayer`] | the same, what matters most to the last | its [`Priority`](crate::Priority), an extension |
//!
//! All are one [`AdmissionLayer`]. It is ready when the inner service is and decides when it is called:
//! an idle connection holds nothing. A refusal is answered with a problem (503 and `Retry-After`), which
//! one function makes: [`AdmissionLayer::on_refusal`]. The error type of the inner service stays.
//!
//! **When a permit is freed**: when the body of the response has ended, has failed or is dropped; at
//! once if the inner service fails, panics, or nobody waits for the response any more. A client that reads
//! slowly holds it for as long as the server lets it; with [`AdmissionLayer::until_head`] it is freed when
//! the head of the response is there. For a limit, a response that lasts (`101 Switching Protocols`,
//! `text/event-stream`) frees it then in any case: what waits for events takes no part in the work that is
//! limited.
//!
//! **What a limit learns** from a response: how long its head took. 503 and 504 count as lost; other
//! server errors say nothing.
//!
//! ```
//! use pm_resilience::{Limit, LimitAdmissionLayer, LimitSettings, Shed, ShedAdmissionLayer, ShedSettings};
//!
//! let limit = Limit::new("api", LimitSettings::default())?;
//! let layer = LimitAdmissionLayer::new(limit.clone());
//! let by_priority = ShedAdmissionLayer::new(Shed::new(limit, ShedSettings::default())?);
//! # Ok::<(), pm_core::reload::InvalidSetting>(())
//! ```

mod future;
mod gate;
mod layer;
mod service;

use pm_core::ResponseBody;
use pm_core::body::HeldBody;

use self::gate::sealed::Sealed;
use crate::{Bulkhead, Limit, Shed};

pub use self::future::ResponseFuture;
pub use self::gate::Gate;
pub use self::layer::{AdmissionLayer, problem};
pub use self::service::Admission;

/// A body that holds the permit of a gate until it has ended, or failed, or is dropped.
pub type PermitBody<G, B> = HeldBody<ResponseBody<B>, <G as Sealed>::Permit>;

/// Lets in a fixed number of requests. The permit is the whole request's, whatever it answers.
pub type BulkheadAdmissionLayer = AdmissionLayer<Bulkhead>;

/// Lets in as many requests as the limit has found to be right.
pub type LimitAdmissionLayer = AdmissionLayer<Limit>;

/// Lets in as many requests as the limit has found to be right, by priority.
pub type ShedAdmissionLayer = AdmissionLayer<Shed>;
