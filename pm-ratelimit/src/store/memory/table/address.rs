use pm_core::Tick;

use super::receipt::{Receipt, Tenancy};
use super::shard::{NOBODY, PLACES, Place, Shard, TAG};
use crate::sync::{AtomicU64, Ordering};

/// How many lines a bucket may be in, from its own one on. With half of all places in use, fewer
/// than one bucket in a million finds none in sixteen.
const REACH: usize = 16;

/// Where one bucket is to be found.
pub(super) struct Address<'a> {
    pub(super) shard: &'a Shard,
    pub(super) home: usize,
    /// Under the quota of the charge at hand.
    pub(super) mark: u64,
    pub(super) shared: &'a AtomicU64,
}

impl<'a> Address<'a> {
    /// The places that the bucket may have, the nearest first.
    pub(super) fn places(&self) -> impl Iterator<Item = Place<'a>> + use<'a> {
        let lines = &self.shard.lines;
        let (wrapped, from_home) = lines.split_at(self.home);
        from_home
            .iter()
            .chain(wrapped)
            .take(REACH)
            .flat_map(|line| {
                line.marks
                    .iter()
                    .zip(&line.words)
                    .map(|(mark, word)| Place { mark, word })
            })
    }

    #[inline]
    pub(super) fn find(&self) -> Option<Place<'a>> {
        // Written out, since nearly all that have a place have one in their own line.
        let line = &self.shard.lines[self.home];
        for (mark, word) in line.marks.iter().zip(&line.words) {
            match mark.load(Ordering::Acquire) {
                found if self.is_at(found) => return Some(Place { mark, word }),
                NOBODY => return None,
                _ => {}
            }
        }
        self.find_further()
    }

    fn find_further(&self) -> Option<Place<'a>> {
        for place in self.places().skip(PLACES) {
            match place.mark.load(Ordering::Acquire) {
                mark if self.is_at(mark) => return Some(place),
                NOBODY => return None,
                _ => {}
            }
        }
        None
    }

    /// Whether it is this bucket's place, under whatever quota.
    #[inline]
    pub(super) const fn is_at(&self, mark: u64) -> bool {
        (mark ^ self.mark) & TAG == 0
    }

    /// `conversions` is what was read before the word.
    #[inline]
    pub(super) fn receipt(
        &self,
        place: Place<'a>,
        before: u64,
        after: u64,
        conversions: u64,
    ) -> Receipt<'a> {
        Receipt {
            word: place.word,
            before,
            after,
            tenancy: Some(Tenancy {
                shard: self.shard,
                mark: place.mark,
                tenant: self.mark,
                conversions,
            }),
        }
    }

    /// The state of a bucket without a place: full, or with the debt of those who had to share.
    pub(super) fn beginning(&self, now: Tick) -> u64 {
        let shared = self.shared.load(Ordering::Acquire);
        if shared > now.as_nanos() { shared } else { 0 }
    }
}
