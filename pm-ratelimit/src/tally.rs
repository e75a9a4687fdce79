use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::PolicyName;
use crate::telemetry::Result;

/// Threads that do not meet at one counter.
const STRIPES: usize = 16;

/// What a rule has decided since the limiter was made: one number for each outcome of
/// [`DECISIONS`](crate::telemetry::DECISIONS).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleDecisions {
    /// The rule.
    pub rule: PolicyName,
    /// Let in, by all rules that applied.
    pub allowed: u64,
    /// Refused because the store failed and the rule is closed then.
    pub failed_closed: u64,
    /// Let in without being counted, because the store failed.
    pub failed_open: u64,
    /// Refused for ever: they cost more than the quota holds.
    pub never: u64,
    /// Refused by what an emergency has left of the quota.
    pub reduced: u64,
    /// Refused.
    pub refused: u64,
    /// Let in, although the rule, which is on trial, would have refused.
    pub shadow_refused: u64,
}

/// What a rule has decided, in numbers that many threads add to at the same time.
#[derive(Debug, Default)]
pub(crate) struct Tally([Stripe; STRIPES]);

/// The numbers of some threads, on a cache line of their own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe([AtomicU64; Result::COUNT]);

impl Tally {
    #[inline]
    pub(crate) fn add(&self, result: Result) {
        self.0[stripe()].0[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn of(&self, rule: &PolicyName) -> RuleDecisions {
        let sum = |result: Result| {
            let stripes = self.0.iter();
            let counts = stripes.map(|stripe| stripe.0[result as usize].load(Ordering::Relaxed));
            counts.sum()
        };
        RuleDecisions {
            rule: rule.clone(),
            allowed: sum(Result::Allowed),
            failed_closed: sum(Result::FailedClosed),
            failed_open: sum(Result::FailedOpen),
            never: sum(Result::Never),
            reduced: sum(Result::Reduced),
            refused: sum(Result::Refused),
            shadow_refused: sum(Result::ShadowRefused),
        }
    }
}

/// That of this thread: they are given out in turn.
#[inline]
fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OURS: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OURS.with(|ours| {
        ours.get().unwrap_or_else(|| {
            let next = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
            ours.set(Some(next));
            next
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_count_adds_up() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        tally.add(Result::Allowed);
                        tally.add(Result::ShadowRefused);
                    }
                });
            }
        });
        let counted = tally.of(&PolicyName::from_static("user"));
        let all = 2 * STRIPES as u64 * 1_000;
        assert_eq!((counted.allowed, counted.shadow_refused), (all, all));
        assert_eq!((counted.refused, counted.never), (0, 0));
    }
}
