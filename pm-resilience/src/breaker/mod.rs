//! Stops calling what does not work, and finds out by itself when it works again.
//!
//! A [`Breaker`] is closed at first. Failures in a row, the share of failures in a window, or the
//! share of slow calls in it, in any combination, open it; then calls are rejected without being made.
//! After a while it is half open: one call is let in as a probe, and what comes of it closes the
//! breaker or opens it again. What decides that is in [`BreakerSettings`].
//!
//! Two ways to use it, as a handle ([`Breaker::try_acquire`]) and as a layer ([`BreakerLayer`]); both also
//! with a breaker for each of many keys ([`KeyedBreakers`], [`BreakerLayer::keyed`]).
//!
//! **Late results.** A result counts only if the breaker has not changed since its call was let in:
//! a call that began before the breaker opened does not decide for the probe.
//!
//! **Cut off.** A call that its caller gives up is a failure if it had its time, and says nothing if
//! it had not; see [`Permit`].
//!
//! **Lost probes.** A probe that does not come back holds its place for the time of its lease. When
//! all places are taken and the last lease is over, all of them are given out anew.
//!
//! **Several probes.** With [`probes`](BreakerSettings::probes) above one, that many are let in at the
//! same time, and that many have to succeed; the first failure opens the breaker again.
//!
//! **Bodies.** A layer settles when the head of a response is there, or when its body has ended:
//! [`BreakerLayer::until_body_end`].
//!
//! **Rates.** Only a failure opens a breaker by the rate of failures, and only a slow call by that of
//! slow calls. A slow success is a success, and slow. Where slow calls are watched, a probe that was
//! slow opens the breaker again.

mod armed;
mod breaker_of;
mod changes;
mod circuit;
mod future;
mod handle;
mod history;
mod keyed;
mod layer;
#[cfg(all(test, pm_loom))]
mod loom_tests;
mod pass;
mod permit;
mod service;
mod settings;
mod state;
mod stats;
mod transition;
mod until;
mod window;
mod word;

pub use self::breaker_of::{BreakerOf, ByKey};
pub use self::changes::Changes;
pub use self::future::ResponseFuture;
pub use self::handle::Breaker;
pub use self::keyed::KeyedBreakers;
pub use self::layer::BreakerLayer;
pub use self::permit::Permit;
pub use self::service::BreakerService;
pub use self::settings::{BreakerSettings, Mode, SlowCalls};
pub use self::state::{Cause, State};
pub use self::stats::{BreakerStats, Counts};
pub use self::until::{BodyEnd, Ending, Head, Until};
pub use self::window::Window;
