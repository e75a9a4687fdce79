use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use pm_core::Cidr;

use super::threshold::{Ring, Threshold};

/// Addresses that share a lock and give way to each other.
const WAYS: usize = 8;

/// The [`Ring`]s of a bounded number of addresses.
///
/// Every address has eight places that it may be in, by a hash that nobody outside knows. Where
/// they are taken, whoever has the fewest violations within the time of the threshold gives way,
/// and of those the one whose last is the oldest. So a flood of new addresses displaces those with
/// one or two violations, and not somebody on the way to an alert. Who is displaced begins anew: an
/// alert may come late, never early.
#[derive(Debug)]
pub(crate) struct Watched {
    threshold: Threshold,
    sets: Box<[Set]>,
    hasher: RandomState,
}

/// Addresses with the same hash.
type Set = Mutex<Vec<(Cidr, Ring)>>;

impl Watched {
    /// Room for at least so many addresses.
    pub(crate) fn new(threshold: Threshold, addresses: usize) -> Self {
        let sets = addresses.div_ceil(WAYS).max(1);
        Self {
            threshold,
            sets: (0..sets).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    pub(crate) const fn threshold(&self) -> &Threshold {
        &self.threshold
    }

    /// Counts a violation, and says whether the threshold is passed with it.
    pub(crate) fn note(&self, prefix: Cidr, at: i64) -> bool {
        self.with(prefix, |set| {
            let known = set.iter().position(|(known, _)| *known == prefix);
            let place = known.unwrap_or_else(|| {
                if set.len() < WAYS {
                    set.push((prefix, Ring::default()));
                    return set.len() - 1;
                }
                let fewest =
                    |(_, ring): &(Cidr, Ring)| (ring.recent(at, &self.threshold), ring.latest());
                let victim = (0..set.len()).min_by_key(|place| fewest(&set[*place]));
                let victim = victim.expect("a full set has places");
                set[victim] = (prefix, Ring::default());
                victim
            });
            set[place].1.note(at, &self.threshold)
        })
    }

    /// Counts this address from nothing again.
    pub(crate) fn forget(&self, prefix: Cidr) {
        self.with(prefix, |set| set.retain(|(known, _)| *known != prefix));
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let len = |set: &Set| set.lock().expect("sound").len();
        self.sets.iter().map(len).sum()
    }

    fn with<T>(&self, prefix: Cidr, work: impl FnOnce(&mut Vec<(Cidr, Ring)>) -> T) -> T {
        let set = self.hasher.hash_one(prefix) % self.sets.len() as u64;
        let set = &self.sets[set as usize];
        work(&mut set.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    const ALERT: Threshold = Threshold::more_than(10, Duration::from_secs(300));

    fn addr(number: u32) -> Cidr {
        Cidr::from(IpAddr::from(number.to_be_bytes()))
    }

    #[test]
    fn of_many_threads_one_sees_the_eleventh() {
        for _ in 0..200 {
            let watched = Watched::new(ALERT, 100);
            let (raised, noted) = (AtomicUsize::new(0), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..5 {
                            let at = noted.fetch_add(1, Ordering::SeqCst) as i64;
                            if watched.note(addr(1), at) {
                                raised.fetch_add(1, Ordering::SeqCst);
                                assert!(noted.load(Ordering::SeqCst) >= 11);
                            }
                        }
                    });
                }
            });
            assert_eq!(raised.into_inner(), 1);
        }
    }

    #[test]
    fn of_many_threads_none_sees_an_eleventh_after_ten() {
        for _ in 0..200 {
            let watched = Watched::new(ALERT, 100);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| (0..5).for_each(|at| assert!(!watched.note(addr(1), at))));
                }
            });
            assert!(watched.note(addr(1), 7), "it counted all ten");
        }
    }

    #[test]
    fn a_flood_does_not_displace_somebody_on_the_way_to_an_alert() {
        let watched = Watched::new(ALERT, 1_000);
        for at in 0..5 {
            assert!(!watched.note(addr(0), at));
        }
        for other in 1..100_000 {
            assert!(!watched.note(addr(other), 10));
        }
        assert!(watched.len() <= 1_000);
        let alerts = (0..6).filter(|at| watched.note(addr(0), 20 + at));
        assert_eq!(alerts.collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn who_was_quiet_for_long_gives_way_first() {
        let watched = Watched::new(ALERT, 8);
        for number in 0..8 {
            for _ in 0..9 {
                watched.note(addr(number), 0);
            }
        }
        let later = 301_000_000;
        for _ in 0..10 {
            assert!(!watched.note(addr(0), later));
        }
        watched.note(addr(99), later);
        assert!(watched.note(addr(0), later), "another one gave way");
    }
}
