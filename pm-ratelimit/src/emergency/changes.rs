use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Declared;
use super::switch::Current;

pub(super) type OnChange = dyn Fn(Option<&Declared>) + Send + Sync;

/// Tells of changes, each once and in their order, whoever makes them.
///
/// Nothing is called under a lock: a hook may itself declare or leave an emergency. What it changes is
/// told when it has returned.
pub(super) struct Changes {
    hooks: Vec<Box<OnChange>>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    untold: VecDeque<Option<Arc<Current>>>,
    /// Somebody is at it, and tells what comes meanwhile.
    telling: bool,
}

impl Changes {
    pub(super) fn new(hooks: Vec<Box<OnChange>>) -> Self {
        Self {
            hooks,
            queue: Mutex::default(),
        }
    }

    /// Makes a change, if `change` does, and tells of it. One at a time.
    pub(super) fn make<T>(
        &self,
        change: impl FnOnce() -> Option<(Option<Arc<Current>>, T)>,
    ) -> Option<T> {
        let mut queue = self.lock();
        let (current, answer) = change()?;
        queue.untold.push_back(current);
        if !std::mem::replace(&mut queue.telling, true) {
            drop(queue);
            self.tell();
        }
        Some(answer)
    }

    fn tell(&self) {
        let _telling = Telling(self);
        while let Some(current) = self.next() {
            let declared = current.as_ref().map(|current| &current.declared);
            for hook in &self.hooks {
                hook(declared);
            }
        }
    }

    /// What is to be told next; without anything, nobody is telling any longer.
    fn next(&self) -> Option<Option<Arc<Current>>> {
        let mut queue = self.lock();
        let next = queue.untold.pop_front();
        queue.telling = next.is_some();
        next
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A hook that panics does not silence the others for ever.
struct Telling<'a>(&'a Changes);

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().telling = false;
        }
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("hooks", &self.hooks.len())
            .finish_non_exhaustive()
    }
}
