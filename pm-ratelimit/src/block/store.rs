use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::Entry;
use crate::Error;
use crate::guard::Position;

/// The most changes that are told at a time.
pub const PAGE: usize = 1_000;

/// Keeps what is said about blocks of addresses, and tells all instances of every change.
///
/// What an implementation promises, the suite [`guard::conformance`](crate::guard::conformance)
/// (feature `conformance`) checks:
///
/// * **One word for each prefix.** A new entry takes the place of the one that
///   [yields to it](Entry::yields_to); otherwise that one stays.
/// * **Numbered changes.** Every entry that takes its place gets the next version. Whoever asks for
///   the changes since a position gets all of them, each prefix as it is by now, in the order of their
///   versions: there is never one that becomes visible with a lower version than one that was told
///   before.
/// * **Epochs.** A store that has lost its entries has another epoch: a random number that was drawn
///   when it was empty. For a position of another epoch, and for one that is ahead of the store, all
///   entries are changes.
/// * **Forgotten in time.** An entry that is [over](Entry::forgotten_micros), by the caller's
///   `now_micros`, may be dropped without another word, and one that is not never is.
/// * **One step.** [`impose`](Self::impose) takes all entries into account, or none.
/// * **Bounded waiting.** Every method ends within a deadline of the store's own, and nothing is
///   sent twice.
#[async_trait]
pub trait BlockStore: fmt::Debug + Send + Sync + 'static {
    /// Says these about their prefixes. Returns what stands for each of them then, with its version,
    /// in their order: the new one, or the one that did not yield.
    ///
    /// Cancel-safe: they are said or not, all of them or none.
    ///
    /// # Errors
    ///
    /// If the store did not answer. They may be said nevertheless; to say them again does no harm.
    async fn impose(
        self: Arc<Self>,
        entries: Vec<Entry>,
        now_micros: i64,
    ) -> Result<Vec<Entry>, Error>;

    /// What has changed since: at most [`PAGE`] entries. Whoever gets that many asks again from
    /// the position that comes with them.
    ///
    /// # Errors
    ///
    /// If the store did not answer.
    async fn changes(self: Arc<Self>, since: Position, now_micros: i64) -> Result<Changes, Error>;
}

/// What has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// What to ask from the next time.
    pub position: Position,
    /// The entries as they are by now, by version.
    pub entries: Vec<Entry>,
}

#[cfg(test)]
fn _is_object_safe(_: &dyn BlockStore) {}
