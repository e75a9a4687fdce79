//! The other side of the socket: what talks to a server.
//!
//! * [`Session`] is the conversation without a socket: frames in, [`Incoming`] values out.
//! * [`Connection`] moves its bytes over a WebSocket, pipelined: any number of frames may be on
//!   their way, and answers are matched by frame id.
//! * [`Replica`] folds snapshots and events and proves that nothing is missing.
//! * [`Backoff`] says when to come back.
//!
//! Nothing here decides to come back by itself: an [`Error`] says whether it would help.

mod backoff;
mod connection;
mod error;
mod incoming;
mod options;
mod rejection;
mod replica;
mod session;
mod visible;

pub use crate::auth::Token;

pub use self::{
    backoff::Backoff,
    connection::Connection,
    error::Error,
    incoming::{Answer, Goodbye, Incoming, Part},
    options::Options,
    rejection::Rejection,
    replica::{Finding, Replica},
    session::Session,
    visible::Visible,
};
