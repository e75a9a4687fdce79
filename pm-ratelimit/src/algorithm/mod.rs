//! Pure arithmetic: state and time in, decision out. No clock, no store, no I/O.

mod gcra;

pub use self::gcra::{Gcra, Taken};
