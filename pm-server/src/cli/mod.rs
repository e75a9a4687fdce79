//! The commands of `pm-server`, as a person meets them.

mod greeting;
mod serve;
mod signals;
mod token;

pub use self::{
    serve::{ServeError, serve},
    signals::Signals,
    token::token,
};
