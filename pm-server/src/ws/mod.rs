//! The socket: the sub-protocol `pm.v1.proto` on `/ws`.
//!
//! [`Connection`] is the whole conversation without a socket: messages in, messages and [`Action`]s
//! out, time as a parameter. [`upgrade`](socket::upgrade) is the rest: it moves bytes and carries out
//! actions. A [`Gate`] is asked before each frame. What is tested and simulated is therefore what runs.

mod close;
mod connection;
mod frames;
mod gate;
pub mod origin;
mod outbox;
mod reply;
mod requests;
mod results;
mod session;
mod settings;
pub mod socket;

pub use self::{
    close::{Close, CloseCode},
    connection::{Action, Connection, Opened, Rejection},
    frames::Frames,
    gate::{FrameKind, Gate, Question},
    origin::{InvalidOrigin, Origin},
    settings::SocketSettings,
};

/// The name of the sub-protocol.
pub const PROTOCOL: &str = "pm.v1.proto";
