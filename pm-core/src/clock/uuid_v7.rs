//! Version 7 UUIDs (RFC 9562 §5.7) without asking the machine for time or, each time, for entropy.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// 48 bits of Unix milliseconds, 12 bits of the fraction of the millisecond (method 3 of RFC 9562
/// §6.2), 62 random bits.
pub(super) fn bits(wall: SystemTime) -> u128 {
    let since_epoch = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = since_epoch.as_millis() & 0xffff_ffff_ffff;
    let fraction = u128::from(since_epoch.subsec_nanos() % 1_000_000) * 4096 / 1_000_000;
    let random = u128::from(random_u64()) & 0x3fff_ffff_ffff_ffff;
    millis << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random
}

/// A keyed hash of a counter: the key comes from the operating system once per process, and within
/// a process no two counts repeat more often than random numbers would.
fn random_u64() -> u64 {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    KEY.get_or_init(RandomState::new)
        .hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_layout_is_that_of_rfc_9562() {
        let wall = UNIX_EPOCH + Duration::new(1_645_557_742, 500_500_000);
        let id = bits(wall);
        assert_eq!(id >> 80, 1_645_557_742_500, "milliseconds");
        assert_eq!(id >> 76 & 0xf, 7, "version");
        assert_eq!(id >> 64 & 0xfff, 2048, "half a millisecond");
        assert_eq!(id >> 62 & 0b11, 0b10, "variant");
    }

    #[test]
    fn ten_thousand_of_one_moment_differ() {
        let ids: HashSet<u128> = (0..10_000).map(|_| bits(UNIX_EPOCH)).collect();
        assert_eq!(ids.len(), 10_000);
    }

    #[test]
    fn later_sorts_after_earlier() {
        let early = bits(UNIX_EPOCH + Duration::from_micros(10));
        let late = bits(UNIX_EPOCH + Duration::from_micros(11));
        assert!(early < late);
    }
}
