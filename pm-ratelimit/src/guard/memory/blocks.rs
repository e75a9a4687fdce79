use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use pm_core::Cidr;

use super::{MemoryStore, new_position};
use crate::Error;
use crate::block::{BlockStore, Changes, Entry, PAGE, Position};

pub(super) struct Blocks {
    position: Position,
    entries: HashMap<Cidr, Entry>,
    by_version: BTreeMap<u64, Cidr>,
}

impl Blocks {
    pub(super) fn new() -> Self {
        Self {
            position: new_position(),
            entries: HashMap::new(),
            by_version: BTreeMap::new(),
        }
    }

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
        let known = since.known_of(blocks.position).unwrap_or(0);
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
