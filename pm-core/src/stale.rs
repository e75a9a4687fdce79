//! Values that were right a while ago, for when there is no better answer.
//!
//! A cache that can say what it last held for a key is a [`StaleSource`]; what guards calls asks it
//! when a call has no answer. Neither knows the other:
//!
//! ```
//! use std::time::Duration;
//! use pm_core::stale::{Aged, Stale, StaleSource};
//!
//! /// Remembers one user, as it was ten seconds ago.
//! struct LastSeen;
//!
//! impl StaleSource<u64, String> for LastSeen {
//!     fn stale<'a>(&'a self, id: &'a u64, max_age: Duration) -> Stale<'a, String> {
//!         let age = Duration::from_secs(10);
//!         let known = *id == 7 && age <= max_age;
//!         let aged = known.then(|| Aged::new("ada".to_owned(), age));
//!         Box::pin(std::future::ready(aged))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let user = LastSeen.stale(&7, Duration::from_secs(60)).await.expect("it is young enough");
//! assert_eq!((user.value.as_str(), user.age.as_secs()), ("ada", 10));
//! assert!(LastSeen.stale(&7, Duration::from_secs(5)).await.is_none());
//! # }
//! ```

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The future of [`StaleSource::stale`].
pub type Stale<'a, V> = Pin<Box<dyn Future<Output = Option<Aged<V>>> + Send + 'a>>;

/// Something that remembers values for longer than they are right.
///
/// It is asked when what has the right value does not answer, so it should not need that itself, and
/// should answer soon: from memory, or from somewhere near with a deadline of its own. An error of
/// its own is `None`. Dropping the future must leave nothing behind.
pub trait StaleSource<K: ?Sized, V>: Send + Sync {
    /// The last value for `key`, if it is known and is not older than `max_age`.
    fn stale<'a>(&'a self, key: &'a K, max_age: Duration) -> Stale<'a, V>;
}

/// A value and how long ago it was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Aged<V> {
    /// The value.
    pub value: V,
    /// The time since it was read from where it comes from.
    pub age: Duration,
}

impl<V> Aged<V> {
    /// A value that was right so long ago.
    #[must_use]
    pub const fn new(value: V, age: Duration) -> Self {
        Self { value, age }
    }
}
