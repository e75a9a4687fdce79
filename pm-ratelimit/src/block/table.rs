use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use pm_core::{Cidr, Clock};

use super::entry::Standing;
use super::prefixes::Prefixes;
use super::waiting::Waiting;
use super::{Effect, Entry};
use crate::client_prefix::embedded;

/// The version of what no store can change.
pub(super) const FIXED: u64 = u64::MAX;

/// What an instance knows: read without a lock, changed by one at a time.
#[derive(Debug)]
pub(super) struct Table {
    prefixes: ArcSwap<Prefixes>,
    /// How often they were replaced.
    generation: AtomicU64,
    /// When something happens by itself: an entry is forgotten, or what was allowed no longer is.
    due: Mutex<BTreeSet<(i64, Cidr)>>,
    pub(super) waiting: Waiting,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            prefixes: ArcSwap::default(),
            generation: AtomicU64::new(0),
            due: Mutex::default(),
            waiting: Waiting::default(),
        }
    }

    /// Read before a look, it says afterwards whether the look is out of date.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn known(&self) -> Arc<Prefixes> {
        self.prefixes.load_full()
    }

    /// What keeps the address out: the longest prefix that is blocked, unless one is allowed. The
    /// clock is read only if something is said about the address.
    pub(super) fn find(&self, addr: IpAddr, clock: &Clock) -> Option<Arc<Standing>> {
        let prefixes = self.prefixes.load();
        let (mut now, mut found) = (None, None);
        for addr in [Some(addr), embedded(addr)].into_iter().flatten() {
            for standing in prefixes.around(addr) {
                let now = *now.get_or_insert_with(|| clock.wall_micros());
                if !standing.entry.is_in_force(now) {
                    continue;
                }
                match standing.entry.effect {
                    Effect::Allow => return None,
                    Effect::Block => found = found.or(Some(standing)),
                    Effect::Lifted => {}
                }
            }
        }
        found.map(Arc::clone)
    }

    /// Takes over what a store says, unless something newer is known.
    pub(super) fn apply(&self, entries: Vec<Entry>) {
        self.change(entries, |known, new| {
            known.is_none_or(|known| known.version < new.version)
        });
    }

    /// Takes over what the store does not know yet: its next word about the prefix counts.
    pub(super) fn apply_locally(&self, mut entry: Entry) {
        let known = self.known();
        let known = known.standing(entry.prefix);
        entry.version = known.map_or(0, |known| known.entry.version);
        self.change(vec![entry], |known, _| {
            known.is_none_or(|known| known.version != FIXED)
        });
    }

    /// Keeps everything, and takes every word of the store about it from now on: it is another one.
    pub(super) fn doubt(&self) {
        let known = self.known();
        let doubted = known
            .iter(None)
            .filter(|known| known.entry.version != FIXED);
        let doubted = doubted.map(|known| Entry {
            version: 0,
            ..known.entry.clone()
        });
        self.change(doubted.collect(), |_, _| true);
    }

    fn change(&self, entries: Vec<Entry>, counts: impl Fn(Option<&Entry>, &Entry) -> bool) {
        let mut due = self.due();
        let mut next = Prefixes::clone(&self.prefixes.load());
        let mut changed = BTreeSet::new();
        for entry in entries {
            let prefix = entry.prefix;
            let known = next.standing(prefix);
            if !counts(known.map(|known| &known.entry), &entry) {
                continue;
            }
            let hits = known
                .map(|known| Arc::clone(&known.hits))
                .unwrap_or_default();
            let ends = entry.until_micros.filter(|_| entry.effect == Effect::Allow);
            let forgotten = Some(entry.forgotten_micros).filter(|at| *at < i64::MAX);
            due.extend(
                [ends, forgotten]
                    .into_iter()
                    .flatten()
                    .map(|at| (at, prefix)),
            );
            next.insert(prefix, Arc::new(Standing { entry, hits }));
            changed.insert(prefix);
        }
        self.publish(next, changed);
    }

    /// Drops what is forgotten, and wakes those whom nothing allows any longer.
    pub(super) fn tidy(&self, now: i64) {
        let mut due = self.due();
        if due.first().is_none_or(|(at, _)| *at > now) {
            return;
        }
        let later = due.split_off(&(now.saturating_add(1), first_prefix()));
        let past = std::mem::replace(&mut *due, later);
        let mut next = Prefixes::clone(&self.prefixes.load());
        let past: BTreeSet<Cidr> = past.into_iter().map(|(_, prefix)| prefix).collect();
        for prefix in &past {
            let known = next.standing(*prefix);
            if known.is_some_and(|known| known.entry.forgotten_micros <= now) {
                next.remove(*prefix);
            }
        }
        self.publish(next, past);
    }

    fn publish(&self, next: Prefixes, changed: BTreeSet<Cidr>) {
        if changed.is_empty() {
            return;
        }
        self.prefixes.store(Arc::new(next));
        self.generation.fetch_add(1, Ordering::Release);
        for prefix in changed {
            self.waiting.wake(prefix);
        }
    }

    /// Held by whoever changes something.
    fn due(&self) -> MutexGuard<'_, BTreeSet<(i64, Cidr)>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// None is ordered before it.
fn first_prefix() -> Cidr {
    Cidr::around([0, 0, 0, 0].into(), 0)
}
