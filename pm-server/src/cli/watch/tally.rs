use std::fmt;

/// What was seen in all, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    events: u64,
    first: u64,
    last: u64,
    missed: u64,
    twice: u64,
}

impl Tally {
    pub(super) fn seen(&mut self, rev: u64) {
        if self.events == 0 {
            self.first = rev;
        }
        self.last = rev;
        self.events += 1;
    }

    pub(super) fn seen_twice(&mut self) {
        self.twice += 1;
    }

    pub(super) fn missed(&mut self, events: u64) {
        self.missed += events;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            events,
            first,
            last,
            missed,
            twice,
        } = self;
        match events {
            0 => f.write_str("watched: no events")?,
            1 => write!(f, "watched: 1 event, rev {first}")?,
            _ => write!(f, "watched: {events} events, revs {first}–{last}")?,
        }
        for (count, what) in [(missed, "missed"), (twice, "twice")] {
            match count {
                0 => write!(f, ", none {what}")?,
                _ => write!(f, ", {count} {what}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_was_found() {
        let mut tally = Tally::default();
        assert_eq!(
            tally.to_string(),
            "watched: no events, none missed, none twice"
        );
        tally.seen(1);
        assert_eq!(
            tally.to_string(),
            "watched: 1 event, rev 1, none missed, none twice"
        );
        (2..=138).for_each(|rev| tally.seen(rev));
        assert_eq!(
            tally.to_string(),
            "watched: 138 events, revs 1–138, none missed, none twice"
        );
        tally.missed(3);
        tally.seen_twice();
        assert_eq!(
            tally.to_string(),
            "watched: 138 events, revs 1–138, 3 missed, 1 twice"
        );
    }
}
