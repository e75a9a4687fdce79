use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use pm_core::Cidr;

use crate::Error;
use crate::block::{BlockStore, Changes, Entry, PAGE, Position};
use crate::violations::{KEPT, Threshold, Violation, ViolationStore, Watched};

/// The most violations that are kept.
const VIOLATIONS: usize = 100_000;

/// Addresses whose violations are counted at the same time.
const ADDRESSES: usize = 16_384;

/// Violations and blocks in the memory of this process: for one instance, or for several in a test.
///
/// It is bounded: the latest 100,000 violations of the last hour are kept, some 15 MB, and the
/// violations of 16,384 addresses are counted at the same time; those with the fewest give way.
pub struct MemoryStore {
    violations: Mutex<Kept>,
    blocks: Mutex<Blocks>,
}

#[derive(Default)]
struct Kept {
    rows: VecDeque<Violation>,
    /// Made by the first who says which threshold; another one begins anew.
    watched: Option<Watched>,
}

#[derive(Default)]
struct Blocks {
    position: Position,
    entries: HashMap<Cidr, Entry>,
    by_version: BTreeMap<u64, Cidr>,
}

impl MemoryStore {
    /// Nobody was refused, nobody is blocked.
    #[must_use]
    pub fn new() -> Self {
        Self {
            violations: Mutex::default(),
            blocks: Mutex::new(Blocks {
                position: Position {
                    epoch: RandomState::new().hash_one(()) | 1,
                    version: 0,
                },
                ..Blocks::default()
            }),
        }
    }

    fn violations(&self) -> MutexGuard<'_, Kept> {
        self.violations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BlockStore for MemoryStore {
    async fn impose(
        self: Arc<Self>,
        entries: Vec<Entry>,
        now_micros: i64,
    ) -> Result<Vec<Entry>, Error> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.forget(now_micros);
        let stand = entries
            .into_iter()
            .map(|entry| blocks.impose(entry, now_micros));
        Ok(stand.collect())
    }

    async fn changes(self: Arc<Self>, since: Position, _: i64) -> Result<Changes, Error> {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let known = if since.epoch == blocks.position.epoch {
            since.version
        } else {
            0
        };
        let newer = blocks.by_version.range(known + 1..);
        let entries: Vec<Entry> = newer
            .take(PAGE)
            .map(|(_, prefix)| blocks.entries[prefix].clone())
            .collect();
        let version = entries.last().map_or(known, |last| last.version);
        let position = Position {
            version,
            ..blocks.position
        };
        Ok(Changes { position, entries })
    }
}

impl Blocks {
    fn impose(&mut self, mut entry: Entry, now: i64) -> Entry {
        if let Some(known) = self.entries.get(&entry.prefix) {
            if !known.yields_to(&entry, now) {
                return known.clone();
            }
            self.by_version.remove(&known.version);
        }
        self.position.version += 1;
        entry.version = self.position.version;
        self.by_version.insert(entry.version, entry.prefix);
        self.entries.insert(entry.prefix, entry.clone());
        entry
    }

    fn forget(&mut self, now: i64) {
        let by_version = &mut self.by_version;
        self.entries.retain(|_, entry| {
            let kept = entry.forgotten_micros > now;
            if !kept {
                by_version.remove(&entry.version);
            }
            kept
        });
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
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

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
