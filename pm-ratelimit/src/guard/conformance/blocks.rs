//! What every [`BlockStore`] promises.

use std::collections::HashSet;
use std::sync::Arc;

use pm_core::Cidr;

use super::{SECOND, START, addr, together};
use crate::block::{BlockStore, Cause, Effect, Entry, PAGE, Position};

fn entry(number: u8, effect: Effect, cause: Cause, until: Option<i64>) -> Entry {
    Entry {
        prefix: addr(number),
        effect,
        cause,
        reason: "because".into(),
        actor: "ada".into(),
        since_micros: START,
        until_micros: until,
        level: u32::from(cause == Cause::Automatic),
        forgotten_micros: until.unwrap_or(i64::MAX),
        version: 0,
    }
}

fn block(number: u8) -> Entry {
    entry(number, Effect::Block, Cause::Manual, None)
}

async fn impose<S: BlockStore>(store: &Arc<S>, entry: Entry, now: i64) -> Entry {
    let stand = Arc::clone(store).impose(vec![entry], now).await;
    let mut stand = stand.expect("the store works");
    assert_eq!(stand.len(), 1);
    stand.remove(0)
}

async fn changes<S: BlockStore>(store: &Arc<S>, since: Position) -> (Position, Vec<Entry>) {
    let changes = Arc::clone(store).changes(since, START).await;
    let changes = changes.expect("the store works");
    (changes.position, changes.entries)
}

/// What was imposed is what is told.
pub async fn a_block_is_told_to_whoever_asks<S: BlockStore>(store: Arc<S>) {
    let (start, none) = changes(&store, Position::default()).await;
    assert!(none.is_empty() && start.epoch != 0);
    let stands = impose(&store, block(1), START).await;
    assert_eq!(
        stands,
        Entry {
            version: stands.version,
            ..block(1)
        }
    );
    assert!(stands.version > 0);
    let (position, told) = changes(&store, start).await;
    assert_eq!(told, [stands]);
    assert_eq!(changes(&store, position).await, (position, Vec::new()));
}

/// Whoever follows hears of each change once, and of each prefix what it is by then.
pub async fn every_change_has_the_next_version_and_is_told_once<S: BlockStore>(store: Arc<S>) {
    let (mut position, _) = changes(&store, Position::default()).await;
    let mut version = 0;
    for number in 0..20 {
        let stands = impose(&store, block(number % 3), START).await;
        assert!(stands.version > version);
        version = stands.version;
        let (next, told) = changes(&store, position).await;
        assert_eq!(told, [stands]);
        assert_eq!(next.epoch, position.epoch);
        position = next;
    }
    let (_, all) = changes(&store, Position::default()).await;
    assert_eq!(all.len(), 3);
    assert!(all.is_sorted_by_key(|entry| entry.version));
}

/// Whatever was said before.
pub async fn the_last_word_of_somebody_counts<S: BlockStore>(store: Arc<S>) {
    let effects = [
        Effect::Block,
        Effect::Allow,
        Effect::Block,
        Effect::Lifted,
        Effect::Allow,
    ];
    for effect in effects {
        let stands = impose(&store, entry(1, effect, Cause::Manual, None), START).await;
        assert_eq!(stands.effect, effect);
    }
    let short = entry(1, Effect::Block, Cause::Manual, Some(START + SECOND));
    assert_eq!(
        impose(&store, short, START).await.until_micros,
        Some(START + SECOND)
    );
}

/// And to one that lasts longer, and takes the place of everything else.
pub async fn an_automatic_block_yields_to_somebody<S: BlockStore>(store: Arc<S>) {
    let automatic = |number, until| {
        entry(
            number,
            Effect::Block,
            Cause::Automatic,
            Some(START + until * SECOND),
        )
    };
    let manual = |number, effect, until: Option<i64>| {
        entry(
            number,
            effect,
            Cause::Manual,
            until.map(|until| START + until * SECOND),
        )
    };
    for (before, stays) in [
        (manual(1, Effect::Allow, None), true),
        (manual(2, Effect::Block, None), true),
        (manual(3, Effect::Block, Some(5)), true),
        (automatic(4, 60), true),
        (automatic(5, 100), true),
        (automatic(6, 59), false),
        (manual(7, Effect::Lifted, None), false),
        (manual(8, Effect::Block, Some(0)), false),
        (manual(9, Effect::Allow, Some(-5)), false),
    ] {
        let before = Entry {
            forgotten_micros: i64::MAX,
            ..before
        };
        let before = impose(&store, before, START).await;
        let last_octet = before.prefix.to_string();
        let new = Entry {
            prefix: before.prefix,
            ..automatic(0, 60)
        };
        let stands = impose(&store, new.clone(), START).await;
        if stays {
            assert_eq!(stands, before, "{last_octet}");
        } else {
            assert_eq!(
                stands,
                Entry {
                    version: stands.version,
                    ..new
                },
                "{last_octet}"
            );
            assert!(stands.version > before.version);
        }
    }
}

/// All of them, none twice, none missing.
pub async fn changes_come_in_pages<S: BlockStore>(store: Arc<S>) {
    let entries = (0..2_500u32).map(|number| Entry {
        prefix: Cidr::from(std::net::IpAddr::from(number.to_be_bytes())),
        ..block(0)
    });
    let entries: Vec<Entry> = entries.collect();
    for page in entries.chunks(1_000) {
        let stand = Arc::clone(&store).impose(page.to_vec(), START).await;
        assert_eq!(stand.expect("the store works").len(), page.len());
    }
    let (mut position, mut seen) = (Position::default(), HashSet::new());
    loop {
        let (next, told) = changes(&store, position).await;
        assert!(told.len() <= PAGE);
        let full = told.len() == PAGE;
        assert!(told.into_iter().all(|entry| seen.insert(entry.prefix)));
        position = next;
        if !full {
            break;
        }
    }
    assert_eq!(seen.len(), entries.len());
}

/// It is told everything.
pub async fn a_position_of_another_epoch_knows_nothing<S: BlockStore>(store: Arc<S>) {
    impose(&store, block(1), START).await;
    let (position, _) = changes(&store, Position::default()).await;
    let other = Position {
        epoch: position.epoch.wrapping_add(2),
        version: 1,
    };
    // A replica that has become the primary before it had heard of everything.
    let ahead = Position {
        version: position.version + 1_000,
        ..position
    };
    for since in [other, ahead] {
        let (told, entries) = changes(&store, since).await;
        assert_eq!((told, entries.len()), (position, 1));
    }
}

/// By the time that the caller says it is.
pub async fn what_is_forgotten_is_gone_and_nothing_else<S: BlockStore>(store: Arc<S>) {
    let (position, _) = changes(&store, Position::default()).await;
    for (number, seconds) in [(1, 10), (2, 20), (3, 30)] {
        let until = Some(START + seconds * SECOND);
        impose(
            &store,
            entry(number, Effect::Block, Cause::Manual, until),
            START,
        )
        .await;
    }
    impose(&store, block(4), START + 25 * SECOND).await;
    let (_, left) = changes(&store, position).await;
    let left: Vec<Cidr> = left.iter().map(|entry| entry.prefix).collect();
    assert!(left.ends_with(&[addr(3), addr(4)]), "{left:?}");
}

/// Every field comes back as it went in.
pub async fn entries_have_what_they_were_imposed_with<S: BlockStore>(store: Arc<S>) {
    let entry = Entry {
        prefix: "2001:db8:1::/48".parse().expect("a prefix"),
        effect: Effect::Block,
        cause: Cause::Automatic,
        reason: "ü\"\\'\u{1f}|,{}[]\n%s".into(),
        actor: "".into(),
        since_micros: START - 7,
        until_micros: Some(START + 8),
        level: 9,
        forgotten_micros: START + 10,
        version: 0,
    };
    let first = impose(&store, entry.clone(), START).await;
    assert_eq!(
        first,
        Entry {
            version: first.version,
            ..entry
        }
    );
    let everything = Entry {
        prefix: "0.0.0.0/0".parse().expect("a prefix"),
        until_micros: None,
        forgotten_micros: i64::MAX,
        ..first.clone()
    };
    let second = impose(&store, everything.clone(), START).await;
    let (_, told) = changes(&store, Position::default()).await;
    assert_eq!(
        told,
        [
            first,
            Entry {
                version: second.version,
                ..everything
            }
        ]
    );
}

/// None is told with a version below one that was told before.
pub async fn many_who_impose_at_the_same_time_get_different_versions<S: BlockStore>(store: Arc<S>) {
    let of_each = async |from: u8| {
        let (mut position, mut told) = (Position::default(), Vec::new());
        for number in 0..10 {
            impose(&store, block(from + number), START).await;
            let (next, entries) = changes(&store, position).await;
            told.extend(
                entries
                    .into_iter()
                    .map(|entry| (entry.version, entry.prefix)),
            );
            position = next;
        }
        told.extend(
            (changes(&store, position).await.1)
                .iter()
                .map(|entry| (entry.version, entry.prefix)),
        );
        assert!(told.is_sorted());
        told.len()
    };
    let _ = together([of_each(0), of_each(50), of_each(100)]).await;
    let (_, all) = changes(&store, Position::default()).await;
    let versions: HashSet<u64> = all.iter().map(|entry| entry.version).collect();
    assert_eq!((all.len(), versions.len()), (30, 30));
}
