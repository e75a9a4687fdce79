use std::collections::HashMap;
use std::time::Duration;

use pm_core::Cidr;

/// How long one half of the sketch is written to.
pub(crate) const HALF: Duration = Duration::from_secs(30 * 60);

/// Who was refused most often of late, in a bounded space.
///
/// Two halves of Space-Saving (Metwally, Agrawal, El Abbadi, 2005): one is written to for half an
/// hour, and the one before it is kept. A half with `K` places that has seen `N` refusals counts
/// nobody too low, nobody too high by more than `N / K`, and lists everybody with more than that.
#[derive(Debug)]
pub(crate) struct Sketch {
    places: usize,
    half: u64,
    current: Half,
    previous: Half,
}

/// An address that was refused often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offender {
    /// The address: an IPv4 address, or the /64 of an IPv6 one.
    pub prefix: Cidr,
    /// How often it was refused, at most.
    pub count: u64,
    /// How much too high the count may be.
    pub error: u64,
}

#[derive(Debug, Default)]
struct Half {
    /// By count, the highest first.
    counters: Vec<Offender>,
    places: HashMap<Cidr, usize>,
}

impl Sketch {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places: places.max(1),
            half: 0,
            current: Half::default(),
            previous: Half::default(),
        }
    }

    pub(crate) fn note(&mut self, prefix: Cidr, half: u64) {
        self.turn(half);
        self.current.note(prefix, self.places);
    }

    /// The first `count` of them, of this half and the one before it.
    pub(crate) fn top(&mut self, count: usize, half: u64) -> Vec<Offender> {
        self.turn(half);
        let (current, previous) = (&self.current, &self.previous);
        let both = previous.counters.iter().map(|offender| offender.prefix);
        let only = both.filter(|prefix| !current.places.contains_key(prefix));
        let known = current.counters.iter().map(|offender| offender.prefix);
        let mut top: Vec<Offender> = known
            .chain(only)
            .map(|prefix| {
                let halves = [current, previous].map(|half| half.estimate(prefix, self.places));
                Offender {
                    prefix,
                    count: halves.iter().map(|half| half.count).sum(),
                    error: halves.iter().map(|half| half.error).sum(),
                }
            })
            .collect();
        top.sort_unstable_by_key(|offender| (u64::MAX - offender.count, offender.prefix));
        top.truncate(count);
        top
    }

    fn turn(&mut self, half: u64) {
        if half <= self.half {
            return;
        }
        let current = std::mem::take(&mut self.current);
        self.previous = if half == self.half + 1 {
            current
        } else {
            Half::default()
        };
        self.half = half;
    }
}

impl Half {
    fn note(&mut self, prefix: Cidr, places: usize) {
        let place = match self.places.get(&prefix) {
            Some(place) => *place,
            None if self.counters.len() < places => {
                self.counters.push(Offender {
                    prefix,
                    count: 0,
                    error: 0,
                });
                self.places.insert(prefix, self.counters.len() - 1);
                self.counters.len() - 1
            }
            None => {
                let last = self.counters.len() - 1;
                let least = &mut self.counters[last];
                self.places.remove(&least.prefix);
                least.prefix = prefix;
                least.error = least.count;
                self.places.insert(prefix, last);
                last
            }
        };
        // It changes places with the first of those with its count, and the order stays.
        let count = self.counters[place].count;
        let first = self.counters[..place].partition_point(|other| other.count > count);
        self.counters.swap(place, first);
        self.counters[first].count += 1;
        self.places.insert(self.counters[place].prefix, place);
        self.places.insert(self.counters[first].prefix, first);
    }

    fn estimate(&self, prefix: Cidr, places: usize) -> Offender {
        match self.places.get(&prefix) {
            Some(place) => self.counters[*place],
            // Not listed: at most as often as the last that is, if there was no room.
            None => {
                let least = self.counters.get(places - 1).map_or(0, |least| least.count);
                Offender {
                    prefix,
                    count: least,
                    error: least,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn addr(number: u32) -> Cidr {
        Cidr::from(IpAddr::from(number.to_be_bytes()))
    }

    proptest! {
        #[test]
        fn nobody_is_counted_too_low_or_too_high_by_more_than_it_says(
            numbers in proptest::collection::vec((0u32..40, 0u64..2), 1..2_000),
            places in 1usize..30,
        ) {
            let mut sketch = Sketch::new(places);
            let (mut exact, mut seen) = (HashMap::new(), [0u64; 2]);
            let mut half = 0;
            for (number, step) in numbers {
                // Few of the small numbers are rare, and at most two halves.
                half = half.max(step * u64::from(seen[0] > 500));
                let number = number * number / 40;
                sketch.note(addr(number), half);
                *exact.entry(number).or_insert(0u64) += 1;
                seen[half as usize] += 1;
            }
            let bound: u64 = seen.iter().map(|seen| seen / places as u64).sum();
            let top = sketch.top(usize::MAX, half);
            for offender in &top {
                let number = (0..40).find(|number| addr(*number) == offender.prefix);
                let exact = exact[&number.expect("one of them")];
                prop_assert!(exact <= offender.count);
                prop_assert!(offender.count - offender.error <= exact);
                prop_assert!(offender.error <= bound);
            }
            for (number, exact) in exact {
                let listed = top.iter().any(|offender| offender.prefix == addr(number));
                prop_assert!(listed || exact <= bound, "{number} is missing");
            }
        }
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let mut sketch = Sketch::new(10);
        sketch.note(addr(1), 7);
        assert_eq!(sketch.top(1, 8)[0].count, 1);
        sketch.note(addr(2), 8);
        assert_eq!(sketch.top(9, 8).len(), 2);
        assert_eq!(sketch.top(9, 9).len(), 1);
        assert!(sketch.top(9, 10).is_empty());
    }
}
