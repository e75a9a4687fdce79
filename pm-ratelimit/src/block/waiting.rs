use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Waker;

use pm_core::Cidr;

/// Those who wait for something to be said about their address: only they are woken, however many
/// others wait.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    next: AtomicU64,
    places: Mutex<BTreeMap<Place, Waker>>,
}

/// Address, and the number of who waits.
type Place = (u128, NonZeroU64);

impl Waiting {
    /// A number that nobody else has.
    pub(super) fn number(&self) -> NonZeroU64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        NonZeroU64::new(number).expect("so many do not wait in the life of a program")
    }

    /// Takes a place, or keeps the one it has.
    pub(super) fn register(&self, addr: IpAddr, number: NonZeroU64, waker: &Waker) {
        let place = (bits(addr), number);
        // What was there is dropped outside the lock: it may be the last handle on a task.
        let _waker = self.with(|places| places.insert(place, waker.clone()));
    }

    pub(super) fn leave(&self, addr: IpAddr, number: NonZeroU64) {
        let _waker = self.with(|places| places.remove(&(bits(addr), number)));
    }

    /// Wakes all whose address is in the prefix. They keep their places.
    pub(super) fn wake(&self, prefix: Cidr) {
        let first = bits(prefix.network());
        let free = if prefix.network().is_ipv4() { 32 } else { 128 } - u32::from(prefix.prefix());
        let rest = u128::MAX
            .checked_shl(free)
            .map_or(u128::MAX, |network| !network);
        let range = (first, NonZeroU64::MIN)..=(first | rest, NonZeroU64::MAX);
        let wakers: Vec<Waker> = self.with(|places| {
            let within = places.range(range);
            within.map(|(_, waker)| waker.clone()).collect()
        });
        for waker in wakers {
            waker.wake();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.with(|places| places.len())
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<Place, Waker>) -> T) -> T {
        work(&mut self.places.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// All addresses in one order: those of IPv4 where IPv6 maps them. So whoever is woken for something
/// about `::/0` finds that it is not about IPv4.
fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}
