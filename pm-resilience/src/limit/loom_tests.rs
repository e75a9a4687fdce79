//! Every interleaving of a few threads, as far as loom's memory model goes:
//! `RUSTFLAGS="--cfg pm_loom" cargo test -p pm-resilience --release --lib loom`

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use super::slots::Slots;

#[test]
fn the_last_slot_is_taken_once_and_given_back_once() {
    loom::model(|| {
        let slots = Arc::new(Slots::new(1));
        let inside = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (slots, inside) = (Arc::clone(&slots), Arc::clone(&inside));
                thread::spawn(move || {
                    let taken = slots.take(slots.ceiling()).is_some();
                    if taken {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two of one");
                        inside.fetch_sub(1, Ordering::SeqCst);
                        slots.give_back();
                    }
                    taken
                })
            })
            .collect();
        let taken = threads.into_iter().map(|t| t.join().expect("no panic"));
        assert!(taken.filter(|&taken| taken).count() >= 1, "nobody got it");
        assert_eq!(slots.taken(), 0);
    });
}

#[test]
fn a_ceiling_that_falls_takes_nothing_back_and_lets_no_more_in() {
    loom::model(|| {
        let slots = Arc::new(Slots::new(2));
        assert!(slots.take(slots.ceiling()).is_some());
        let other = Arc::clone(&slots);
        let thread = thread::spawn(move || other.take(other.ceiling()).is_some());
        slots.set_ceiling(1);
        let taken = 1 + u64::from(thread.join().expect("no panic"));
        assert_eq!(slots.taken(), taken);
        assert!(slots.take(slots.ceiling()).is_none());
    });
}
