use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use super::{Cause, Effect, Entry};

/// What a look-up reads of an entry, but for its network: 16 bytes.
#[derive(Debug)]
pub(super) struct Slot {
    /// `i64::MAX` is for ever.
    until_micros: i64,
    hits: AtomicU32,
    /// How often `hits` has come back to 0.
    rounds: AtomicU16,
    /// Of the prefix, in bits of its family.
    length: u8,
    says: Says,
}

/// The effect and the cause in one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Allow,
    BlockAutomatically,
    BlockManually,
    /// There is no entry.
    Nothing,
}

impl Slot {
    /// For an entry; one that is lifted says nothing.
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            until_micros: entry.until_micros.unwrap_or(i64::MAX),
            hits: AtomicU32::new(0),
            rounds: AtomicU16::new(0),
            length: entry.prefix.prefix(),
            says: match (entry.effect, entry.cause) {
                (Effect::Allow, _) => Says::Allow,
                (Effect::Block, Cause::Automatic) => Says::BlockAutomatically,
                (Effect::Block, Cause::Manual) => Says::BlockManually,
                (Effect::Lifted, _) => Says::Nothing,
            },
        }
    }

    /// For no entry.
    pub(super) const fn free() -> Self {
        Self {
            until_micros: i64::MIN,
            hits: AtomicU32::new(0),
            rounds: AtomicU16::new(0),
            length: u8::MAX,
            says: Says::Nothing,
        }
    }

    pub(super) fn is_free(&self) -> bool {
        self.says == Says::Nothing
    }

    pub(super) const fn length(&self) -> u8 {
        self.length
    }

    /// Whether it is in force. What is for ever does not ask for the time.
    #[inline]
    pub(super) fn is_in_force(&self, now_micros: impl FnOnce() -> i64) -> bool {
        self.until_micros == i64::MAX || now_micros() < self.until_micros
    }

    pub(super) fn allows(&self) -> bool {
        self.says == Says::Allow
    }

    pub(super) fn cause(&self) -> Cause {
        match self.says {
            Says::BlockAutomatically => Cause::Automatic,
            Says::Allow | Says::BlockManually | Says::Nothing => Cause::Manual,
        }
    }

    pub(super) fn until_micros(&self) -> Option<i64> {
        Some(self.until_micros).filter(|until| *until < i64::MAX)
    }

    pub(super) fn hit(&self) {
        if self.hits.fetch_add(1, Ordering::Relaxed) == u32::MAX {
            self.rounds.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often it was met.
    pub(super) fn hits(&self) -> u64 {
        let rounds = u64::from(self.rounds.load(Ordering::Relaxed));
        rounds << 32 | u64::from(self.hits.load(Ordering::Relaxed))
    }
}

/// The other one goes on from what this one has counted.
impl Clone for Slot {
    fn clone(&self) -> Self {
        Self {
            hits: AtomicU32::new(self.hits.load(Ordering::Relaxed)),
            rounds: AtomicU16::new(self.rounds.load(Ordering::Relaxed)),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Order;

    #[test]
    fn it_counts_beyond_32_bits_in_16_bytes() {
        assert_eq!(size_of::<Slot>(), 16);
        let prefix = "192.0.2.0/24".parse().expect("valid");
        let slot = Slot::of(&Order::on(prefix).at(0, Effect::Block));
        slot.hits.store(u32::MAX, Ordering::Relaxed);
        slot.hit();
        slot.hit();
        assert_eq!(slot.clone().hits(), (1 << 32) + 1);
    }
}
