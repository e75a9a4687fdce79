//! Promises of [`EmergencyStore`].

use std::sync::Arc;

use super::{SECOND, START, together};
use crate::emergency::{EmergencyStore, Word};

fn word(said_micros: i64, by: &str) -> Word {
    Word {
        profile: Some("storm".into()),
        said_micros,
        until_micros: said_micros + 60 * SECOND,
        by: by.into(),
        because: "because".into(),
    }
}

async fn exchange<S: EmergencyStore>(store: &Arc<S>, known: Option<&Word>) -> Option<Word> {
    let stands = Arc::clone(store).exchange(known.cloned()).await;
    stands.expect("the store works")
}

/// Until something is said.
pub async fn nothing_stands_at_first<S: EmergencyStore>(store: Arc<S>) {
    assert_eq!(exchange(&store, None).await, None);
    assert_eq!(exchange(&store, None).await, None);
}

/// Whoever says it, and whoever asks.
pub async fn a_word_has_what_was_said<S: EmergencyStore>(store: Arc<S>) {
    let over = Word {
        profile: None,
        because: "".into(),
        ..word(START + SECOND, "bob")
    };
    let odd = Word {
        profile: Some("a \"b\" ~".into()),
        until_micros: i64::MAX >> 10,
        because: "\u{1f}'--ü😀\\".into(),
        ..word(START + 2 * SECOND, "")
    };
    for said in [word(START, "ada"), over, odd] {
        assert_eq!(exchange(&store, Some(&said)).await.as_ref(), Some(&said));
        assert_eq!(exchange(&store, None).await.as_ref(), Some(&said));
    }
}

/// Not the one that arrives last.
pub async fn the_word_that_was_said_last_counts<S: EmergencyStore>(store: Arc<S>) {
    let (first, last) = (word(START, "ada"), word(START + 1, "bob"));
    exchange(&store, Some(&last)).await;
    assert_eq!(exchange(&store, Some(&first)).await.as_ref(), Some(&last));
    let same = word(START + 1, "eve");
    let stands = exchange(&store, Some(&same)).await;
    assert_eq!(stands.as_ref(), Some(&last), "the first of one moment");
    let later = word(START + 2, "eve");
    assert_eq!(exchange(&store, Some(&later)).await.as_ref(), Some(&later));
}

/// All of them, and at once.
pub async fn many_who_say_something_at_the_same_time_agree<S: EmergencyStore>(store: Arc<S>) {
    let say = async |number: i64| {
        for turn in 0..10 {
            let said = word(START + 10 * turn + number, "somebody");
            let stands = exchange(&store, Some(&said))
                .await
                .expect("something stands");
            assert!(stands.said_micros >= said.said_micros);
        }
    };
    together([say(0), say(1), say(2)]).await;
    let stands = exchange(&store, None).await.expect("something stands");
    assert_eq!(stands.said_micros, START + 92);
}
