//! Going down in order, within a time that is known.
//!
//! A server that is asked to stop goes through [phases](Phase), each with its share of the time:
//!
//! ```text
//! serving ──signal──▶ unready ──▶ draining ──▶ cancelling ──▶ aborting ──▶ closing ──▶ ended
//!                     delay       drain        cancel         100 ms       close
//! ```
//!
//! * **unready**: the ready probe says no, and everything is still served: until load balancers have
//!   noticed.
//! * **draining**: nothing is accepted any more; sockets are told to leave; what is under way may
//!   finish. Over as soon as nothing is under way.
//! * **cancelling**: whoever is still there is asked to stop what it does.
//! * **aborting**: whoever does not listen is dropped where it waits.
//! * **closing**: hooks close databases and flush metrics, in order.
//!
//! A second signal, at any time, goes to the end at once: what is tracked is dropped and no hook is
//! waited for.
//!
//! [`Shutdown`] goes through the phases. Everybody else has a [`Drain`]: it tells the phase, waits for
//! one, and counts what is under way:
//!
//! ```
//! use std::time::Duration;
//! use pm_resilience::shutdown::{Kind, Phase, Shutdown, ShutdownSettings, Signal};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = ShutdownSettings::new().with_delay(Duration::ZERO);
//! let mut shutdown = Shutdown::new(settings)?;
//! shutdown.hook("database", Duration::from_secs(1), async { /* close it */ })?;
//!
//! let drain = shutdown.drain();
//! let request = drain.track(Kind::Request, async { "answered" });
//! let accepting = drain.reached(Phase::Draining);
//!
//! let signals = futures_util::stream::iter([Signal::Terminate]); // or `Signals::listen()?`
//! let (answer, _, summary) = tokio::join!(request, accepting, shutdown.run(signals));
//! assert_eq!(answer, Ok("answered"));
//! assert_eq!(summary.cut_in_all(), 0);
//! # Ok(()) }
//! ```
//!
//! What blocks its thread cannot be dropped by anybody. The process ends nevertheless if `main`
//! does not wait for it: with tokio, by `Runtime::shutdown_timeout` or `std::process::exit`.

mod drain;
mod hook;
mod layer;
mod phase;
mod reached;
mod settings;
#[allow(
    clippy::module_inception,
    reason = "the noun that the folder is named after"
)]
mod shutdown;
mod signal;
mod socket;
mod summary;
mod tallies;
mod tracked;

pub use self::drain::Drain;
pub use self::layer::{DrainLayer, DrainService, ResponseFuture};
pub use self::phase::Phase;
pub use self::reached::Reached;
pub use self::settings::ShutdownSettings;
pub use self::shutdown::Shutdown;
pub use self::signal::Signal;
#[cfg(feature = "signals")]
pub use self::signal::Signals;
pub use self::socket::{Leave, Socket};
pub use self::summary::{Ended, Summary};
pub use self::tracked::{Cut, Guard, Kind, Tracked};
