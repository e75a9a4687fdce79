use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use futures_core::Stream;

use super::{Follower, InvalidSetting, diff};
use crate::bell::Bell;

/// One value that has been checked, with the number of its version; see the
/// [module documentation](super).
///
/// A handle: clones are the same setting. `E` is what its check says of a value that is not valid.
pub struct Setting<T, E = InvalidSetting>(Arc<Shared<T, E>>);

struct Shared<T, E> {
    name: Box<str>,
    current: ArcSwap<Versioned<T>>,
    check: Check<T, E>,
    /// Held by whoever replaces, so that versions and lines of the log have one order.
    replacing: Mutex<()>,
    bell: Bell,
}

type Check<T, E> = Box<dyn Fn(&T) -> Result<(), E> + Send + Sync>;

struct Versioned<T> {
    version: u64,
    value: Arc<T>,
}

impl<T, E> Setting<T, E> {
    /// A setting of version 1. The name is for the log; `check` decides on this value and on every
    /// later one.
    ///
    /// # Errors
    ///
    /// What `check` says of `value`.
    pub fn new(
        name: impl Into<Box<str>>,
        value: T,
        check: impl Fn(&T) -> Result<(), E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        check(&value)?;
        Ok(Self(Arc::new(Shared {
            name: name.into(),
            current: ArcSwap::from_pointee(Versioned {
                version: 1,
                value: Arc::new(value),
            }),
            check: Box::new(check),
            replacing: Mutex::new(()),
            bell: Bell::new(),
        })))
    }

    /// The value as it is now; whoever holds it keeps it, whatever is changed meanwhile.
    ///
    /// Takes no lock and never waits.
    #[must_use]
    pub fn current(&self) -> Arc<T> {
        Arc::clone(&self.0.current.load().value)
    }

    /// The number of the current value: 1 at first, one more with each replacement.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.0.current.load().version
    }

    /// The value and its number, which belong together.
    #[must_use]
    pub fn versioned(&self) -> (u64, Arc<T>) {
        let current = self.0.current.load();
        (current.version, Arc::clone(&current.value))
    }

    /// Follows the value from now on.
    #[must_use]
    pub fn follow(&self) -> Follower<T, E> {
        Follower::new(self.clone())
    }

    /// Waits for a value of another version than `seen`.
    pub(super) async fn newer_than(&self, seen: u64) -> (u64, Arc<T>) {
        self.0
            .bell
            .wait_until(|| (self.version() != seen).then(|| self.versioned()))
            .await
    }
}

impl<T: fmt::Debug, E> Setting<T, E> {
    /// Checks `new` and puts it in the place of the current value. Returns its version.
    ///
    /// Logs one line, level `INFO`, with what has changed in the `Debug` output. The check runs on
    /// the calling thread; several replacements at once are made one after the other.
    ///
    /// # Errors
    ///
    /// What the check says of `new`; nothing is changed then.
    pub fn try_replace(&self, new: T) -> Result<u64, E> {
        (self.0.check)(&new)?;
        let new = Arc::new(new);
        let (version, old) = {
            let _replacing = self
                .0
                .replacing
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let (version, old) = self.versioned();
            self.0.current.store(Arc::new(Versioned {
                version: version + 1,
                value: Arc::clone(&new),
            }));
            let (before, after) = diff::changed(&old, &new);
            tracing::info!(
                setting = &*self.0.name,
                version = version + 1,
                old = before,
                new = after,
                "setting replaced"
            );
            (version + 1, old)
        };
        self.0.bell.ring();
        // The last handle on what may be large is given up outside the lock.
        drop(old);
        Ok(version)
    }

    /// Takes new values from `stream` until it ends. One that the check refuses is logged, level
    /// `WARN`, and the old one stays.
    ///
    /// Cancel-safe: a value that was taken from the stream has been accepted or refused.
    pub async fn follow_stream(&self, stream: impl Stream<Item = T>)
    where
        E: fmt::Display,
    {
        let mut stream = pin!(stream);
        while let Some(new) = std::future::poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
            if let Err(error) = self.try_replace(new) {
                tracing::warn!(
                    setting = &*self.0.name,
                    version = self.version(),
                    %error,
                    "setting refused, the old one stays"
                );
            }
        }
    }
}

impl<T, E> Clone for Setting<T, E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug, E> fmt::Debug for Setting<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, value) = self.versioned();
        f.debug_struct("Setting")
            .field("name", &self.0.name)
            .field("version", &version)
            .field("value", &value)
            .finish_non_exhaustive()
    }
}
