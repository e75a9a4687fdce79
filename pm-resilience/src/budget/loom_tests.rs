//! Every interleaving of a few threads, as far as loom's memory model goes:
//! `RUSTFLAGS="--cfg pm_loom" cargo test -p pm-resilience --release --lib loom`

use std::sync::Arc;

use loom::thread;

use super::BudgetSettings;
use super::word::{Terms, Word};

fn terms(percent: u32, floor_per_second: u32, reserve: u32) -> Terms {
    Terms::from(&BudgetSettings {
        percent,
        floor_per_second,
        reserve,
    })
}

/// What two more threads and this one do at once, added up.
fn race(word: &Arc<Word>, act: fn(&Word) -> usize) -> usize {
    let others = [(); 2].map(|()| {
        let word = Arc::clone(word);
        thread::spawn(move || act(&word))
    });
    let mine = act(word);
    mine + others
        .map(|other| other.join().expect("no panic"))
        .iter()
        .sum::<usize>()
}

#[test]
fn what_was_deposited_once_is_withdrawn_once() {
    loom::model(|| {
        let terms = terms(50, 0, 100);
        let word = Arc::new(Word::new(0));
        for _ in 0..4 {
            word.deposit(terms);
        }
        let act = |word: &Word| usize::from(word.try_withdraw(self::terms(50, 0, 100), 0));
        assert_eq!(race(&word, act), 2);
    });
}

#[test]
fn deposits_and_withdrawals_at_once_lose_and_invent_nothing() {
    loom::model(|| {
        let word = Arc::new(Word::new(0));
        let act = |word: &Word| {
            let terms = terms(60, 0, 100);
            word.deposit(terms);
            usize::from(word.try_withdraw(terms, 0))
        };
        let other = Arc::clone(&word);
        let other = thread::spawn(move || act(&other));
        let withdrawn = act(&word) + other.join().expect("no panic");
        // Two deposits are 1.2 retries.
        let rest = usize::from(word.try_withdraw(terms(60, 0, 100), 0));
        assert_eq!(withdrawn + rest, 1);
    });
}

#[test]
fn the_floor_is_given_once() {
    loom::model(|| {
        let word = Arc::new(Word::new(0));
        let act = |word: &Word| usize::from(word.try_withdraw(terms(0, 2, 100), 0));
        assert_eq!(race(&word, act), 2);
    });
}

#[test]
fn the_floor_is_given_once_to_threads_that_read_the_clock_at_different_times() {
    loom::model(|| {
        let terms = terms(0, 1, 100);
        let word = Arc::new(Word::new(0));
        let early = {
            let word = Arc::clone(&word);
            thread::spawn(move || usize::from(word.try_withdraw(terms, 0)))
        };
        let late = (0..2).filter(|_| word.try_withdraw(terms, 1_000)).count();
        let withdrawn = late + early.join().expect("no panic");
        // One for the second before, and one for this second, if the early one was not late.
        assert!((1..=2).contains(&withdrawn), "{withdrawn}");
        assert!(!word.try_withdraw(terms, 1_000), "set back");
    });
}

#[test]
fn the_reserve_is_never_exceeded() {
    loom::model(|| {
        let word = Arc::new(Word::new(0));
        let act = |word: &Word| {
            word.deposit(terms(100, 0, 1));
            0
        };
        race(&word, act);
        assert_eq!(word.saved(), 1);
    });
}
