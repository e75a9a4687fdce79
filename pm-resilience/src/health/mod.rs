//! What load balancers and orchestrators ask, answered from what is known already.
//!
//! Checks run in the background, each with its own time-out; a probe is answered from what they found
//! last, without waiting for anything. A check that hangs can only make what is known of its
//! dependency bad, or old.
//!
//! | probe | says no (503) | is for |
//! | --- | --- | --- |
//! | [`Live`](Probe::Live) | never: an answer is the proof | restarting a process; it looks at nothing outside, else one slow database restarts them all |
//! | [`Ready`](Probe::Ready) | while a critical dependency is not up, and from the moment that the process is asked to stop | sending requests here, or not |
//! | [`Startup`](Probe::Startup) | until every critical dependency was seen up once | leaving a process alone while it starts |
//!
//! ```
//! use pm_resilience::health::{Check, Health, Probe};
//! use pm_resilience::shutdown::Shutdown;
//! # async fn ping() -> Result<(), std::io::Error> { Ok(()) }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let shutdown = Shutdown::new(Default::default())?;
//! let health = Health::builder()
//!     .check(Check::critical("database", || ping()))
//!     .check(Check::degraded("redis", || ping()))
//!     .drain(shutdown.drain())
//!     .build()?;
//! assert_eq!(health.response(Probe::Ready).status(), 503); // nothing is known yet
//!
//! let checks = tokio::spawn({
//!     let health = health.clone();
//!     async move { health.run().await }
//! });
//! health.started().await;
//! assert_eq!(health.response(Probe::Ready).status(), 200);
//! # checks.abort();
//! # Ok(()) }
//! ```
//!
//! **Damping.** A dependency is up after one check that passed, and down after two in a row that did
//! not: [`CheckSettings`] has both numbers. Between the two it is what it was. If nothing has been
//! heard of it for twice as long as a check may take to come round, it is stale, which counts as down.
//!
//! **The answer** is `application/health+json`, in the shape of draft-inadarei-api-health-check-06
//! (expired, and what most tools read): a status `pass`, `warn` (something that is not critical is down)
//! or `fail`, and for each dependency its status, the latency of the last check, and how old that is.
//! Never cached; errors are in the log and never in an answer.

mod answer;
mod builder;
mod check;
#[allow(
    clippy::module_inception,
    reason = "the noun that the folder is named after"
)]
mod health;
mod observed;
mod service;
mod settings;

pub use self::answer::Probe;
pub use self::builder::HealthBuilder;
pub use self::check::Check;
pub use self::health::Health;
pub use self::observed::{Dependency, Status};
pub use self::service::HealthService;
pub use self::settings::{CheckSettings, Weight};
