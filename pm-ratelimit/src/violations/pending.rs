use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Violation;

/// The most rows that are written at a time.
pub(super) const ROWS: usize = 1_000;

/// Violations that are not in the store yet: at most as many as are written at a time.
#[derive(Debug, Default)]
pub(super) struct Pending {
    rows: Mutex<Vec<Violation>>,
    /// Read without the lock, so that a flood does not meet there.
    len: AtomicUsize,
}

impl Pending {
    /// Adds what `make` makes, or says that there is no room; then nothing is made.
    pub(super) fn push(&self, make: impl FnOnce() -> Violation) -> bool {
        if self.len.load(Ordering::Relaxed) >= ROWS {
            return false;
        }
        let row = make();
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.len() >= ROWS {
            return false;
        }
        rows.push(row);
        self.len.store(rows.len(), Ordering::Relaxed);
        true
    }

    pub(super) fn take(&self) -> Vec<Violation> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        self.len.store(0, Ordering::Relaxed);
        std::mem::take(&mut *rows)
    }
}
