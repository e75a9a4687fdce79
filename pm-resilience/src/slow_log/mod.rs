//! One line for each operation that took too long, and never too many of them.
//!
//! When a dependency is slow everything is, and a line for each call would make the log the next
//! thing that is. A [`SlowLog`] writes so many lines each second and counts the rest; the next line
//! says how many were left out.
//!
//! A line, level `WARN`, has: `name`, `key` if there are several of that name, `operation`, `class`, `millis` (of the whole operation, waits
//! between attempts included), `attempt` (how many there were), `breaker` (its state when the
//! operation ended), `request_id` (of the [current](pm_core::Context::current) context) and
//! `left_out`. No argument of the operation is in it.
//!
//! There is no permit: an operation is over when its answer is there, of a response the head.

mod handle;
mod layer;
mod lines;
mod name;
mod operation;
mod run;
mod service;
mod settings;

pub use self::handle::SlowLog;
pub use self::layer::SlowLogLayer;
pub use self::name::{ByExtension, OperationName, OperationOf};
pub use self::operation::Operation;
pub use self::run::Run;
pub use self::service::{ResponseFuture, SlowLogService};
pub use self::settings::SlowLogSettings;
