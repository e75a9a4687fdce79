use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use pm_core::{Cidr, Clock};

use super::prefixes::Prefixes;
use super::search::Search;
use super::slot::Slot;
use super::waiting::Waiting;
use super::{Effect, Entry, Listed};
use crate::client_prefix::embedded;

/// The version of what no store can change.
pub(super) const FIXED: u64 = u64::MAX;

/// What an instance knows: looked up without a lock, changed by one at a time.
#[derive(Debug)]
pub(super) struct Table {
    prefixes: ArcSwap<Prefixes>,
    /// How often they were replaced.
    generation: AtomicU64,
    known: Mutex<Known>,
    pub(super) waiting: Waiting,
}

/// All that is said, and what becomes of it.
#[derive(Debug, Default)]
struct Known {
    words: BTreeMap<Cidr, Word>,
    /// When something happens by itself: an entry is forgotten, or what was allowed no longer is.
    due: BTreeSet<(i64, Cidr)>,
}

#[derive(Debug)]
struct Word {
    entry: Entry,
    /// How often those were met that were there before.
    hits: u64,
}

impl Table {
    pub(super) fn new() -> Self {
        Self {
            prefixes: ArcSwap::default(),
            generation: AtomicU64::new(0),
            known: Mutex::default(),
            waiting: Waiting::default(),
        }
    }

    /// Read before a look, it says afterwards whether the look is out of date.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What is said about exactly this prefix.
    pub(super) fn get(&self, prefix: Cidr) -> Option<Entry> {
        self.known()
            .words
            .get(&prefix)
            .map(|word| word.entry.clone())
    }

    /// The same, with what became of it.
    pub(super) fn listed(&self, prefix: Cidr, now: i64) -> Option<Listed> {
        let known = self.known();
        let word = known.words.get(&prefix)?;
        Some(word.listed(&self.prefixes.load(), now))
    }

    /// What is in force, in the order of the prefixes, from behind `after` on: at most `limit`.
    pub(super) fn page(&self, after: Option<Cidr>, limit: usize, now: i64) -> Vec<Listed> {
        let (known, prefixes) = (self.known(), self.prefixes.load());
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let words = known.words.range((from, Bound::Unbounded));
        let in_force = words.filter(|(_, word)| word.entry.is_in_force(now));
        let listed = in_force.map(|(_, word)| word.listed(&prefixes, now));
        listed.take(limit).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.known().words.len()
    }

    /// What keeps the address out: the longest prefix that is blocked, unless one is allowed. An IPv4
    /// address that is in another one is looked up, too. The clock is read only if something is said
    /// about the address, for a time.
    #[inline]
    pub(super) fn find<T>(
        &self,
        addr: IpAddr,
        clock: &Clock,
        found: impl FnOnce(IpAddr, &Slot) -> T,
    ) -> Option<T> {
        let prefixes = self.prefixes.load();
        let look = |addr| {
            let mut search = Search::of(addr, clock);
            prefixes.show(&mut search);
            search
        };
        let search = match embedded(addr) {
            None => look(addr),
            Some(embedded) => look(addr).or(look(embedded)),
        };
        let (addr, slot) = search.found()?;
        Some(found(addr, slot))
    }

    /// Whether something about the address is in force: that it is kept out, or let in.
    pub(super) fn is_decided(&self, addr: IpAddr, clock: &Clock) -> bool {
        let prefixes = self.prefixes.load();
        let mut search = Search::of(addr, clock);
        prefixes.show(&mut search);
        search.has_met_any()
    }

    /// Takes over what a store says, unless something newer is known.
    pub(super) fn apply(&self, entries: Vec<Entry>) {
        self.change(entries, |known, new| {
            known.is_none_or(|known| known < new.version)
        });
    }

    /// Takes over what the store does not know yet: its next word about the prefix counts.
    pub(super) fn apply_locally(&self, entry: Entry) {
        self.change(vec![entry], |known, new| {
            new.version = known.unwrap_or(0);
            known != Some(FIXED)
        });
    }

    /// Keeps everything, and takes every word of the store about it from now on: it is another one.
    pub(super) fn doubt(&self) {
        let mut known = self.known();
        let entries = known.words.values_mut().map(|word| &mut word.entry);
        entries
            .filter(|entry| entry.version != FIXED)
            .for_each(|entry| entry.version = 0);
    }

    /// `counts` says by the version that is known whether the new one takes its place.
    fn change(&self, entries: Vec<Entry>, counts: impl Fn(Option<u64>, &mut Entry) -> bool) {
        let mut known = self.known();
        let Known { words, due } = &mut *known;
        let mut next = Prefixes::clone(&self.prefixes.load());
        let mut changed = BTreeSet::new();
        for mut entry in entries {
            let prefix = entry.prefix;
            let word = words.get(&prefix);
            if !counts(word.map(|word| word.entry.version), &mut entry) {
                continue;
            }
            let hits = word.map_or(0, |word| word.hits(&next));
            let ends = entry.until_micros.filter(|_| entry.effect == Effect::Allow);
            let forgotten = Some(entry.forgotten_micros).filter(|at| *at < i64::MAX);
            let moments = [ends, forgotten].into_iter().flatten();
            due.extend(moments.map(|at| (at, prefix)));
            next.replace(&entry);
            words.insert(prefix, Word { entry, hits });
            changed.insert(prefix);
        }
        self.publish(next, changed);
    }

    /// Drops what is forgotten, and wakes those whom nothing allows any longer.
    pub(super) fn tidy(&self, now: i64) {
        let mut known = self.known();
        let Known { words, due } = &mut *known;
        if due.first().is_none_or(|(at, _)| *at > now) {
            return;
        }
        let later = due.split_off(&(now.saturating_add(1), first_prefix()));
        let past = std::mem::replace(due, later);
        let mut next = Prefixes::clone(&self.prefixes.load());
        let past: BTreeSet<Cidr> = past.into_iter().map(|(_, prefix)| prefix).collect();
        for prefix in &past {
            let word = words.get(prefix);
            if word.is_some_and(|word| word.entry.forgotten_micros <= now) {
                words.remove(prefix);
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
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Word {
    /// How often it was met, and those before it.
    fn hits(&self, prefixes: &Prefixes) -> u64 {
        let slot = prefixes.exactly(self.entry.prefix);
        self.hits + slot.map_or(0, Slot::hits)
    }

    fn listed(&self, prefixes: &Prefixes, now: i64) -> Listed {
        Listed {
            entry: self.entry.clone(),
            hits: self.hits(prefixes),
            in_force: self.entry.is_in_force(now),
        }
    }
}

/// None is ordered before it.
fn first_prefix() -> Cidr {
    Cidr::around([0, 0, 0, 0].into(), 0)
}
