use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pm_core::Cidr;

use super::{Threshold, Violation};
use crate::Error;

/// How long a violation is kept.
pub const KEPT: Duration = Duration::from_secs(60 * 60);

/// Keeps violations, and counts them for all instances that share it.
///
/// What an implementation promises, the suite [`guard::conformance`](crate::guard::conformance)
/// (feature `conformance`) checks:
///
/// * **Kept for an hour.** [`recent`](Self::recent) tells none that is older, by the caller's
///   `now_micros`; those that are told come the latest first. A store may keep fewer of one address, but no
///   fewer than its latest 100, and fewer altogether if it has a bound of its own.
/// * **Counted once.** The prefixes that [`record`](Self::record) returns are those whose
///   violations, of all instances together, pass the threshold with one of these rows: each once, to
///   one caller, until there are so few again that it is not passed. They are counted by the times
///   in the rows, never by when the rows arrive, so that none is returned too early. Rows may come in
///   any order.
/// * **One step.** `record` keeps all rows and counts all of them, or none.
/// * **Bounded waiting.** Every method ends within a deadline of the store's own, and nothing is
///   sent twice.
#[async_trait]
pub trait ViolationStore: fmt::Debug + Send + Sync + 'static {
    /// Adds rows, forgets those that are too old, and says who has passed the threshold with them.
    ///
    /// Cancel-safe: the rows are there or not, all of them or none.
    ///
    /// # Errors
    ///
    /// If the store did not answer. The rows may be there nevertheless.
    async fn record(
        self: Arc<Self>,
        rows: Vec<Violation>,
        alert: Threshold,
        now_micros: i64,
    ) -> Result<Vec<Cidr>, Error>;

    /// The latest violations of an address, as [`Violation::prefix`] tells it: at most so many.
    ///
    /// # Errors
    ///
    /// If the store did not answer.
    async fn recent(
        self: Arc<Self>,
        prefix: Cidr,
        limit: usize,
        now_micros: i64,
    ) -> Result<Vec<Violation>, Error>;
}

#[cfg(test)]
fn _is_object_safe(_: &dyn ViolationStore) {}
