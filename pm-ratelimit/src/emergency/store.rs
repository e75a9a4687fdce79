use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::Error;

/// Keeps the last word about emergencies, for all instances that share it.
///
/// It is asked four times a second by every instance. What an implementation promises, the suite
/// [`guard::conformance`](crate::guard::conformance) (feature `conformance`) checks:
///
/// * **The last word counts**, by [the time at which it was said](Word::said_micros): one that was said
///   before the one that stands never takes its place, whenever it arrives. Of two that were said at the
///   same moment, the one that arrives first stays.
/// * **What is written is what is read**, in every field.
/// * **Bounded waiting.** It ends within a deadline of the store's own, and nothing is sent twice.
#[async_trait]
pub trait EmergencyStore: fmt::Debug + Send + Sync + 'static {
    /// Takes over what this instance knows, if that was said later than what stands; and tells what
    /// stands then, if anything was ever said.
    ///
    /// What stands already is not written again.
    ///
    /// Cancel-safe: it is taken over or not.
    ///
    /// # Errors
    ///
    /// If the store did not answer. It may have been taken over nevertheless; to do it again does no
    /// harm.
    async fn exchange(self: Arc<Self>, known: Option<Word>) -> Result<Option<Word>, Error>;
}

/// What somebody has said about emergencies: that there is one, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The profile that is in force from then on; none if that is over which was.
    pub profile: Option<Box<str>>,
    /// When it was said, in microseconds since 1970 by the clock of the instance.
    pub said_micros: i64,
    /// Until when it is in force, in microseconds since 1970.
    pub until_micros: i64,
    /// The name of whoever said it.
    pub by: Box<str>,
    /// Why, in their words.
    pub because: Box<str>,
}

impl Word {
    /// Whether it takes the place of what stands.
    #[must_use]
    pub fn replaces(&self, stands: Option<&Self>) -> bool {
        stands.is_none_or(|stands| stands.said_micros < self.said_micros)
    }
}

#[cfg(test)]
fn _is_object_safe(_: &dyn EmergencyStore) {}
