//! A switch between something that may fail and what stands in for it.
//!
//! Never wait for a dead backend: a call that fails or misses its deadline throws the [`Switch`],
//! and from then on [`Switch::begin`] says at once that the stand-in is to answer. Nobody's request
//! finds out whether the backend is back; a probe beside them does, and it alone throws the switch
//! back.
//!
//! ```
//! use pm_core::degrade::{Outcome, State, Switch};
//!
//! let switch = Switch::up("orders");
//! let ticket = switch.begin().expect("it is up");
//! ticket.settle(Outcome::TimedOut);
//! assert_eq!(switch.state(), State::Down);
//! assert!(switch.begin().is_none(), "answer from the fallback, at once");
//!
//! let probe = switch.probe().expect("it is down");
//! assert!(probe.passed());
//! assert_eq!(switch.state(), State::Up);
//! assert_eq!(switch.stats().fallen, 1);
//! ```
//!
//! Every period between two switches has a number, the generation, and a ticket bears that of the
//! period that it was begun in. What is reported in a later one is counted and changes nothing: a
//! time-out of before the switch does not bring down what has just come back.

#[cfg(feature = "tokio")]
mod call;
mod changes;
#[cfg(all(test, pm_loom))]
mod loom_tests;
#[cfg(feature = "tokio")]
mod probing;
mod switch;
#[cfg(all(test, not(pm_loom)))]
mod tests;
mod ticket;

#[cfg(feature = "tokio")]
pub use self::call::CallError;
pub use self::changes::Changes;
pub use self::switch::{State, Switch, SwitchStats};
pub use self::ticket::{Outcome, Probe, Ticket};
