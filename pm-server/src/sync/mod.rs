//! From the change log to everybody who follows it.
//!
//! The one [`Writer`] of a tenant applies mutations and publishes their events to its [`Hub`]. The hub
//! holds the newest of them, encoded once, in a ring. A connection holds [`Cursors`] into it: being
//! slow for a moment and resuming after a week are the same thing, a cursor that is behind.

mod cursors;
mod hub;
mod ring;
mod writer;

pub use self::{
    cursors::Cursors,
    hub::{Delivery, Hub},
    ring::RingLimits,
    writer::{Failure, GROUP, Pending, Writer, apply},
};
