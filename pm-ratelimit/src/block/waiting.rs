use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use pm_core::Cidr;

/// Those who wait for something to be said about their address: only they are woken, however many
/// others wait.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Wakers>);

#[derive(Debug, Default)]
struct Wakers {
    next: u64,
    places: BTreeMap<Place, Waker>,
}

/// Family, address, and a number of its own.
pub(super) type Place = (bool, u128, u64);

impl Waiting {
    /// Takes a place, or keeps the one it has.
    pub(super) fn register(&self, addr: IpAddr, place: &mut Option<Place>, waker: &Waker) {
        self.with(|wakers| {
            let place = *place.get_or_insert_with(|| {
                wakers.next += 1;
                (addr.is_ipv6(), bits(addr), wakers.next)
            });
            wakers.places.insert(place, waker.clone());
        });
    }

    pub(super) fn leave(&self, place: Place) {
        // The waker is dropped outside the lock: it may be the last handle on a task.
        let _waker = self.with(|wakers| wakers.places.remove(&place));
    }

    /// Wakes all whose address is in the prefix. They keep their places.
    pub(super) fn wake(&self, prefix: Cidr) {
        let (v6, first) = (prefix.network().is_ipv6(), bits(prefix.network()));
        let rest = u128::MAX.checked_shr(prefix.prefix().into()).unwrap_or(0);
        let range = (v6, first, 0)..=(v6, first | rest, u64::MAX);
        let wakers: Vec<Waker> = self.with(|wakers| {
            let within = wakers.places.range(range);
            within.map(|(_, waker)| waker.clone()).collect()
        });
        for waker in wakers {
            waker.wake();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.with(|wakers| wakers.places.len())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Wakers) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An address or a network as bits from the highest on.
fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}
