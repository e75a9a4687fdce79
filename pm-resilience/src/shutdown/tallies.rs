use super::Kind;
use crate::sync::{AtomicU64, Ordering};

/// How many of each kind have ever begun, and ended. What is under way is the difference.
#[derive(Debug)]
pub(super) struct Tallies([Tally; Kind::ALL.len()]);

#[derive(Debug)]
struct Tally {
    began: AtomicU64,
    ended: AtomicU64,
}

impl Tallies {
    pub(super) fn new() -> Self {
        Self(Kind::ALL.map(|_| Tally {
            began: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }))
    }

    pub(super) fn begin(&self, kind: Kind) {
        self.of(kind).began.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end(&self, kind: Kind) {
        self.of(kind).ended.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn ended(&self, kind: Kind) -> u64 {
        self.of(kind).ended.load(Ordering::SeqCst)
    }

    pub(super) fn held(&self, kind: Kind) -> u64 {
        // In this order: what ends in between is held, never the other way round.
        let ended = self.ended(kind);
        self.began(kind).saturating_sub(ended)
    }

    /// Whether there was a moment at which nothing was under way.
    ///
    /// All that have ended are read before all that have begun. Both only grow: if they are the same,
    /// they were at the moment between. Kind by kind, one kind could hand over to another unseen.
    pub(super) fn are_even(&self) -> bool {
        let ended = Kind::ALL.map(|kind| self.ended(kind));
        Kind::ALL.map(|kind| self.began(kind)) == ended
    }

    fn began(&self, kind: Kind) -> u64 {
        self.of(kind).began.load(Ordering::SeqCst)
    }

    const fn of(&self, kind: Kind) -> &Tally {
        &self.0[kind as usize]
    }
}

#[cfg(all(test, pm_loom))]
mod loom_tests {
    use std::sync::Arc;

    use loom::sync::atomic::{AtomicBool, Ordering};
    use loom::thread;

    use super::*;

    #[test]
    fn a_connection_that_is_handed_over_is_seen_at_any_moment() {
        loom::model(|| {
            let tallies = Arc::new(Tallies::new());
            let served = Arc::new(AtomicBool::new(false));
            tallies.begin(Kind::Task);
            let accepting = {
                let (tallies, served) = (Arc::clone(&tallies), Arc::clone(&served));
                thread::spawn(move || {
                    tallies.begin(Kind::Connection);
                    tallies.end(Kind::Task);
                    served.store(true, Ordering::Relaxed);
                    tallies.end(Kind::Connection);
                })
            };
            if tallies.are_even() {
                assert!(served.load(Ordering::Relaxed), "it was under way");
            }
            accepting.join().expect("no panic");
            assert!(tallies.are_even());
        });
    }
}
