use pm_core::Tick;

use super::{Address, LOCKED, Place, Table};
use crate::Charge;
use crate::store::memory::terms::Term;
use crate::sync::Ordering;

impl Table {
    /// Makes the bucket of the charge full no earlier than at `full_at`, under the charge's quota.
    ///
    /// A list that is put back at this very moment may take it away again: what it puts back is then
    /// from before. The next one to be told says it again.
    pub(in crate::store::memory) fn raise(&self, charge: &Charge, full_at: Tick, now: Tick) {
        if full_at <= now {
            return;
        }
        let least = full_at.as_nanos().min(LOCKED - 1);
        let term = self.terms.of(charge);
        let address = self.address(charge, &term);
        loop {
            let found = address.find();
            if found.is_some_and(|place| self.raise_at(&address, place, least))
                || self.bring_in_raised(&address, &term, least, now)
            {
                return;
            }
        }
    }

    /// False if the bucket is no longer at `place`, or under another quota. By the same steps as a
    /// charge.
    fn raise_at(&self, address: &Address<'_>, place: Place<'_>, least: u64) -> bool {
        let mut before = place.word.load(Ordering::Acquire);
        loop {
            if before == LOCKED || place.mark.load(Ordering::Relaxed) != address.mark {
                return false;
            }
            if before >= least {
                return true;
            }
            match place
                .word
                .compare_exchange(before, least, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) if place.mark.load(Ordering::Relaxed) == address.mark => return true,
                Ok(_) => {
                    self.strayed.fetch_add(1, Ordering::Relaxed);
                    return false;
                }
                Err(changed) => before = changed,
            }
        }
    }

    /// Gives a bucket that owes this much a place, or brings it under another quota; false if
    /// somebody else has done so by now.
    fn bring_in_raised(&self, address: &Address<'_>, term: &Term, least: u64, now: Tick) -> bool {
        let mut latest = address.shard.lock();
        if let Some(place) = address.find() {
            if place.mark.load(Ordering::Relaxed) == address.mark {
                return false;
            }
            let word = self.convert(address, place, term, now).max(least);
            place.word.store(word, Ordering::Release);
            return true;
        }
        let now = now.max(*latest);
        *latest = now;
        if least <= now.as_nanos() {
            return true;
        }
        let word = least.max(address.beginning(now));
        match address.move_in(now) {
            Some((place, _)) => place.word.store(word, Ordering::Release),
            None => {
                self.overflow();
                address.shared.fetch_max(least, Ordering::AcqRel);
            }
        }
        true
    }
}
