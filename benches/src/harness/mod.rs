//! What every area needs: contenders that run in turn, and lines that say who was faster.

mod area;
mod lock;
mod race;
mod traps;
mod work;

pub(crate) use self::area::{Area, Comparison, Format, Run};
pub(crate) use self::race::Race;
pub(crate) use self::traps::{Peer, Trap, Traps};
pub(crate) use self::work::{AtOnce, Batches, InRuntime, Rounds, Threads, Work};
