use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Minutes that are counted.
const MINUTES: u64 = 60;

/// The name under which those are counted that there is no room for.
pub(crate) const OTHER: &str = "other";

/// Refusals of the last hour, by endpoint, of a bounded number of endpoints.
///
/// Where there is no more room, endpoints without a refusal in the last hour give way; if there are
/// none, the new ones are counted together.
#[derive(Debug)]
pub(crate) struct Endpoints {
    room: usize,
    known: RwLock<Known>,
    other: Mutex<Hour>,
}

#[derive(Debug, Default)]
struct Known {
    hours: HashMap<Box<str>, Arc<Mutex<Hour>>>,
    /// The minute in which nobody was found to give way: in a flood of new names one look a minute
    /// is enough.
    full_in: Option<u64>,
}

/// How often callers of an endpoint were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointViolations {
    /// Method and path, or the name of an operation; `other` for all that there was no room for.
    pub endpoint: Box<str>,
    /// Refusals of the last hour: of the current minute and the 59 before it.
    pub count: u64,
}

/// A count for each of the last sixty minutes.
#[derive(Debug)]
struct Hour {
    counts: [u32; MINUTES as usize],
    latest: u64,
}

impl Endpoints {
    pub(crate) fn new(room: usize) -> Self {
        Self {
            room,
            known: RwLock::default(),
            other: Mutex::new(Hour::new(0)),
        }
    }

    pub(crate) fn note(&self, endpoint: &str, minute: u64) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let hour = known.hours.get(endpoint).map(Arc::clone);
        let look = known.hours.len() < self.room || known.full_in != Some(minute);
        drop(known);
        let hour = match hour {
            None if look => self.admit(endpoint, minute),
            hour => hour,
        };
        hour.as_deref().map_or_else(
            || Hour::note(&self.other, minute),
            |hour| Hour::note(hour, minute),
        );
    }

    fn admit(&self, endpoint: &str, minute: u64) -> Option<Arc<Mutex<Hour>>> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.hours.len() >= self.room && !known.hours.contains_key(endpoint) {
            known.hours.retain(|_, hour| Hour::count(hour, minute) > 0);
            if known.hours.len() >= self.room {
                known.full_in = Some(minute);
                return None;
            }
        }
        let hour = || Arc::new(Mutex::new(Hour::new(minute)));
        let hour = known.hours.entry(endpoint.into()).or_insert_with(hour);
        Some(Arc::clone(hour))
    }

    /// Those with a refusal in the last hour, the most frequent first.
    pub(crate) fn last_hour(&self, minute: u64) -> Vec<EndpointViolations> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut counts: Vec<EndpointViolations> = (known.hours.iter())
            .map(|(endpoint, hour)| (endpoint.clone(), Hour::count(hour, minute)))
            .chain([(OTHER.into(), Hour::count(&self.other, minute))])
            .filter(|(_, count)| *count > 0)
            .map(|(endpoint, count)| EndpointViolations { endpoint, count })
            .collect();
        drop(known);
        counts.sort_unstable_by(|a, b| {
            (b.count.cmp(&a.count)).then_with(|| a.endpoint.cmp(&b.endpoint))
        });
        counts
    }
}

impl Hour {
    const fn new(minute: u64) -> Self {
        Self {
            counts: [0; MINUTES as usize],
            latest: minute,
        }
    }

    fn note(hour: &Mutex<Self>, minute: u64) {
        let mut hour = hour.lock().unwrap_or_else(PoisonError::into_inner);
        hour.advance(minute);
        // Whoever read the clock first may have come to the lock last.
        let slot = (hour.latest % MINUTES) as usize;
        let slot = &mut hour.counts[slot];
        *slot = slot.saturating_add(1);
    }

    fn count(hour: &Mutex<Self>, minute: u64) -> u64 {
        let mut hour = hour.lock().unwrap_or_else(PoisonError::into_inner);
        hour.advance(minute);
        hour.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// Empties the slots of the minutes since the latest: they hold what is an hour old.
    fn advance(&mut self, minute: u64) {
        let passed = minute.saturating_sub(self.latest).min(MINUTES);
        for back in 0..passed {
            self.counts[((minute - back) % MINUTES) as usize] = 0;
        }
        self.latest = self.latest.max(minute);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(endpoints: &Endpoints, minute: u64) -> Vec<(String, u64)> {
        (endpoints.last_hour(minute).into_iter())
            .map(|of| (of.endpoint.into(), of.count))
            .collect()
    }

    #[test]
    fn a_refusal_counts_for_sixty_minutes() {
        let endpoints = Endpoints::new(10);
        for minute in 100..200 {
            endpoints.note("POST /login", minute);
            let expected = (minute - 99).min(60);
            assert_eq!(
                counts(&endpoints, minute),
                [("POST /login".to_owned(), expected)]
            );
        }
        assert_eq!(endpoints.last_hour(258)[0].count, 1);
        assert!(endpoints.last_hour(259).is_empty());
    }

    #[test]
    fn what_has_no_room_is_counted_together_until_somebody_gives_way() {
        let endpoints = Endpoints::new(2);
        for name in ["a", "a", "b", "c", "d"] {
            endpoints.note(name, 0);
        }
        let expected = [("a", 2), ("other", 2), ("b", 1)];
        assert_eq!(
            counts(&endpoints, 0),
            expected.map(|(name, n)| (name.to_owned(), n))
        );
        endpoints.note("a", 59);
        endpoints.note("c", 60);
        let expected = [("a", 1), ("c", 1)];
        assert_eq!(
            counts(&endpoints, 60),
            expected.map(|(name, n)| (name.to_owned(), n))
        );
    }
}
