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
        // Written out, since nearly all that have a place have one in their own line. In which of its places
        // is as good as random: a branch on that would be guessed wrong, and what the processor has begun
        // ahead, while it waits for memory, would be lost.
        let line = &self.shard.lines[self.home];
        let mut at = PLACES;
        let mut room = false;
        for (place, mark) in line.marks.iter().enumerate().rev() {
            let mark = mark.load(Ordering::Acquire);
            at = if self.is_at(mark) { place } else { at };
            room |= mark == NOBODY;
        }
        if let (Some(mark), Some(word)) = (line.marks.get(at), line.words.get(at)) {
            return Some(Place { mark, word });
        }
        if room {
            return None;
        }
        self.find_further()
    }

    #[cold]
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

    /// Makes a place the bucket's own, with the lowest word that it may then have, as
    /// [`Place::free_up`] does; `None` if all are held by limited ones. The shard's lock is held.
    ///
    /// In its own line, a place that nobody has had goes before one whose bucket is full again: that one's
    /// subject would have to come back by this way.
    pub(super) fn move_in(&self, now: Tick) -> Option<(Place<'a>, u64)> {
        let unused = |place: &Place<'_>| place.mark.load(Ordering::Relaxed) == NOBODY;
        let unused = self.places().take(PLACES).find(unused);
        (unused.into_iter().chain(self.places()))
            .find_map(|place| Some((place, place.free_up(self.mark, now)?)))
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
