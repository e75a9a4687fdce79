use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pm_core::Clock;
use pm_core::reload::InvalidSetting;

use super::{Breaker, BreakerSettings};
use crate::telemetry::BreakerMetrics;

/// A breaker for each key, such as a host, all with the same settings: a handle that is cheap to
/// clone.
///
/// So many keys have one of their own. When there are more, one that is closed, that nobody holds,
/// and that was not asked for lately makes room, with what it has counted. One that is open never
/// does before its time is over; if nobody asks for it then, it does after its
/// [`open_for`](BreakerSettings::open_for) once more, since who is never called again is open for
/// ever. One that was forced stays. If none is found, keys that are new share one breaker until
/// there is room; that is [counted](Self::overflowed).
///
/// In metrics they are one: the key may be anything a caller sends. In the log it is the field
/// `key`, cut to 64 characters.
pub struct KeyedBreakers<K>(Arc<Shared<K>>);

struct Shared<K> {
    name: Arc<str>,
    metrics: Arc<BreakerMetrics>,
    clock: Clock,
    capacity: usize,
    table: Mutex<Table<K>>,
}

struct Table<K> {
    settings: Arc<BreakerSettings>,
    places: HashMap<K, usize>,
    entries: Vec<Entry<K>>,
    /// Where the search for one that makes room goes on.
    hand: usize,
    overflow: Option<Breaker>,
    overflowed: u64,
}

struct Entry<K> {
    key: K,
    breaker: Breaker,
    /// Asked for since the hand last passed.
    used: bool,
}

/// A search looks at so many at most, so that a flood of new keys does not make each of them pay for
/// all that are there.
const STEPS: usize = 16;
const KEY: usize = 64;

impl<K: Clone + Eq + Hash + fmt::Debug> KeyedBreakers<K> {
    /// None yet, and room for `capacity`, on the system clock.
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names the field.
    pub fn new(
        name: impl Into<Arc<str>>,
        settings: BreakerSettings,
        capacity: NonZeroUsize,
    ) -> Result<Self, InvalidSetting> {
        settings.check()?;
        let (name, capacity) = (name.into(), capacity.get());
        let metrics = Arc::new(BreakerMetrics::new(&name));
        let settings = Arc::new(settings);
        Ok(Self::build(
            name,
            settings,
            capacity,
            Clock::system(),
            metrics,
        ))
    }

    /// The same on this clock, with none yet.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        let Shared { name, capacity, .. } = &*self.0;
        let settings = Arc::clone(&self.table().settings);
        let metrics = Arc::clone(&self.0.metrics);
        Self::build(Arc::clone(name), settings, *capacity, clock, metrics)
    }

    fn build(
        name: Arc<str>,
        settings: Arc<BreakerSettings>,
        capacity: usize,
        clock: Clock,
        metrics: Arc<BreakerMetrics>,
    ) -> Self {
        Self(Arc::new(Shared {
            name,
            metrics,
            clock,
            capacity,
            table: Mutex::new(Table {
                settings,
                places: HashMap::new(),
                entries: Vec::new(),
                hand: 0,
                overflow: None,
                overflowed: 0,
            }),
        }))
    }

    /// The breaker of `key`. While somebody holds it, it does not make room for others.
    #[must_use]
    pub fn get(&self, key: &K) -> Breaker {
        loop {
            let settings = match self.find(key) {
                Ok(breaker) => return breaker,
                Err(settings) => settings,
            };
            // Made, and what makes room for it dropped, outside the lock.
            let fresh = self.make(&settings, format!("{key:?}"));
            let (breaker, _evicted) = self.insert(key, &settings, fresh);
            if let Some(breaker) = breaker {
                return breaker;
            }
        }
    }

    fn find(&self, key: &K) -> Result<Breaker, Arc<BreakerSettings>> {
        let mut table = self.table();
        let Some(&place) = table.places.get(key) else {
            return Err(Arc::clone(&table.settings));
        };
        let entry = &mut table.entries[place];
        entry.used = true;
        Ok(entry.breaker.clone())
    }

    /// Nothing if the settings that it was made with are in force no more; and what made room.
    fn insert(
        &self,
        key: &K,
        settings: &Arc<BreakerSettings>,
        fresh: Breaker,
    ) -> (Option<Breaker>, Option<Breaker>) {
        let mut table = self.table();
        let table = &mut *table;
        if !Arc::ptr_eq(&table.settings, settings) {
            return (None, Some(fresh));
        }
        if let Some(&place) = table.places.get(key) {
            return (Some(table.entries[place].breaker.clone()), Some(fresh));
        }
        let entry = Entry {
            key: key.clone(),
            breaker: fresh.clone(),
            used: false,
        };
        if table.entries.len() < self.0.capacity {
            table.places.insert(key.clone(), table.entries.len());
            table.entries.push(entry);
            return (Some(fresh), None);
        }
        let Some(place) = table.idle() else {
            table.overflowed = table.overflowed.saturating_add(1);
            return (Some(table.overflow.get_or_insert(fresh).clone()), None);
        };
        let evicted = std::mem::replace(&mut table.entries[place], entry);
        table.places.remove(&evicted.key);
        table.places.insert(key.clone(), place);
        (Some(fresh), Some(evicted.breaker))
    }

    /// How many keys have a breaker of their own.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table().entries.len()
    }

    /// Whether no key has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often a key was given the breaker that those share for whom there is no room.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.table().overflowed
    }

    /// Replaces the settings of all of them, and of those to come; see [`Breaker::reload`].
    ///
    /// # Errors
    ///
    /// If a setting is not valid; the error names the field, and nothing is changed.
    pub fn reload(&self, settings: BreakerSettings) -> Result<(), InvalidSetting> {
        settings.check()?;
        let breakers: Vec<Breaker> = {
            let mut table = self.table();
            table.settings = Arc::new(settings.clone());
            let entries = table.entries.iter().map(|entry| &entry.breaker);
            entries.chain(&table.overflow).cloned().collect()
        };
        for breaker in breakers {
            breaker.reload(settings.clone())?;
        }
        Ok(())
    }

    fn make(&self, settings: &BreakerSettings, mut key: String) -> Breaker {
        if let Some((end, _)) = key.char_indices().nth(KEY) {
            key.truncate(end);
        }
        let shared = &*self.0;
        Breaker::keyed(
            Arc::clone(&shared.name),
            key.into_boxed_str(),
            settings.clone(),
            shared.clock.clone(),
            Arc::clone(&shared.metrics),
        )
    }

    fn table(&self) -> MutexGuard<'_, Table<K>> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Table<K> {
    /// One that may make room, rather one that was not asked for since it was last looked at.
    fn idle(&mut self) -> Option<usize> {
        let mut used = None;
        for _ in 0..STEPS {
            let place = self.hand;
            self.hand = (self.hand + 1) % self.entries.len();
            let entry = &mut self.entries[place];
            if entry.breaker.circuit().is_idle() && !entry.breaker.is_shared() {
                if !std::mem::replace(&mut entry.used, false) {
                    return Some(place);
                }
                used.get_or_insert(place);
            }
        }
        used
    }
}

impl<K> Clone for KeyedBreakers<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K> fmt::Debug for KeyedBreakers<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBreakers")
            .field("name", &self.0.name)
            .field("capacity", &self.0.capacity)
            .finish_non_exhaustive()
    }
}
