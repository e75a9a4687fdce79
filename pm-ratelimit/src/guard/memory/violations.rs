use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, PoisonError};

use async_trait::async_trait;
use pm_core::Cidr;

use super::MemoryStore;
use crate::Error;
use crate::violations::{KEPT, Threshold, Violation, ViolationStore, Watched};

/// The most violations that are kept.
const VIOLATIONS: usize = 100_000;

/// Addresses whose violations are counted at the same time.
const ADDRESSES: usize = 16_384;

#[derive(Default)]
pub(super) struct Kept {
    rows: VecDeque<Violation>,
    /// Made by the first who says which threshold; another one begins anew.
    watched: Option<Watched>,
}

impl MemoryStore {
    fn violations(&self) -> MutexGuard<'_, Kept> {
        self.violations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ViolationStore for MemoryStore {
    async fn record(
        self: Arc<Self>,
        rows: Vec<Violation>,
        alert: Threshold,
        now_micros: i64,
    ) -> Result<Vec<Cidr>, Error> {
        let mut kept = self.violations();
        let Kept { rows: all, watched } = &mut *kept;
        if watched
            .as_ref()
            .is_none_or(|watched| *watched.threshold() != alert)
        {
            *watched = Some(Watched::new(alert, ADDRESSES));
        }
        let watched = watched.as_ref().expect("it was just made");
        let mut passed = Vec::new();
        for row in rows {
            let prefix = row.prefix();
            if watched.note(prefix, row.at_micros()) {
                passed.push(prefix);
            }
            if all.len() == VIOLATIONS {
                all.pop_front();
            }
            all.push_back(row);
        }
        let since = now_micros.saturating_sub(KEPT.as_micros() as i64);
        all.retain(|row| row.at_micros() > since);
        Ok(passed)
    }

    async fn recent(
        self: Arc<Self>,
        prefix: Cidr,
        limit: usize,
        now_micros: i64,
    ) -> Result<Vec<Violation>, Error> {
        let since = now_micros.saturating_sub(KEPT.as_micros() as i64);
        let kept = self.violations();
        let mut found: Vec<Violation> = (kept.rows.iter())
            .filter(|row| row.prefix() == prefix && row.at_micros() > since)
            .cloned()
            .collect();
        found.sort_by_key(|row| std::cmp::Reverse(row.at_micros()));
        found.truncate(limit);
        Ok(found)
    }
}
