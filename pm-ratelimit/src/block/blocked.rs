use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pm_core::{Cidr, ClientIp};

use super::slot::Slot;
use super::{BlockList, Cause};
use crate::client_prefix::embedded;

/// That an address is kept out. Who said so, and why, [`BlockList::get`] tells of its prefix.
#[derive(Clone, Copy, Debug)]
pub struct Blocked {
    addr: IpAddr,
    length: u8,
    cause: Cause,
    until_micros: Option<i64>,
}

impl Blocked {
    pub(super) fn of(addr: IpAddr, slot: &Slot) -> Self {
        Self {
            addr,
            length: slot.length(),
            cause: slot.cause(),
            until_micros: slot.until_micros(),
        }
    }

    /// The addresses that are blocked.
    #[must_use]
    pub fn prefix(&self) -> Cidr {
        Cidr::around(self.addr, self.length)
    }

    /// Whether it is for violations, or somebody has ordered it.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }

    /// Until when, in microseconds since 1970; for ever without.
    #[must_use]
    pub const fn until_micros(&self) -> Option<i64> {
        self.until_micros
    }
}

/// The future of [`BlockList::blocked`].
///
/// To poll it again before anything was said about any address costs a nanosecond: it may stand beside
/// what is polled often. It is small, 64 bytes, because there may be one for each of many sockets.
#[must_use = "futures do nothing unless awaited"]
pub struct UntilBlocked {
    list: BlockList,
    client: ClientIp,
    waiting: Option<Wait>,
}

/// A place among those who wait.
struct Wait {
    number: NonZeroU64,
    waker: Waker,
    /// Of the list, when it was last looked at.
    generation: u64,
}

impl UntilBlocked {
    pub(super) const fn new(list: BlockList, client: ClientIp) -> Self {
        Self {
            list,
            client,
            waiting: None,
        }
    }

    /// The address, and the IPv4 address in it.
    fn addrs(client: ClientIp) -> impl Iterator<Item = IpAddr> {
        let addr = client.addr();
        [Some(addr), embedded(addr)].into_iter().flatten()
    }
}

impl Future for UntilBlocked {
    type Output = Blocked;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Blocked> {
        let Self {
            list,
            client,
            waiting,
        } = self.get_mut();
        let generation = list.generation();
        let known = waiting.take_if(|wait| !wait.waker.will_wake(cx.waker()));
        match waiting {
            Some(wait) if wait.generation == generation => return Poll::Pending,
            Some(wait) => wait.generation = generation,
            None => {
                let number = known.map_or_else(|| list.waiting().number(), |wait| wait.number);
                for addr in Self::addrs(*client) {
                    list.waiting().register(addr, number, cx.waker());
                }
                *waiting = Some(Wait {
                    number,
                    waker: cx.waker().clone(),
                    generation,
                });
            }
        }
        // Now that the waker has its place: whatever is said from here on wakes it.
        list.find(*client).map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for UntilBlocked {
    fn drop(&mut self) {
        if let Some(wait) = &self.waiting {
            for addr in Self::addrs(self.client) {
                self.list.waiting().leave(addr, wait.number);
            }
        }
    }
}

impl fmt::Debug for UntilBlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UntilBlocked").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn a_dropped_wait_leaves_nothing_behind() {
        let list = BlockList::builder().build();
        {
            let addr: IpAddr = "64:ff9b::192.0.2.1".parse().expect("an address");
            let mut wait = pin!(list.blocked(addr));
            let cx = &mut Context::from_waker(Waker::noop());
            assert!(wait.as_mut().poll(cx).is_pending());
            assert!(wait.as_mut().poll(cx).is_pending(), "registered once");
            assert_eq!(list.waiting().len(), 2, "as itself and as IPv4");
        }
        assert_eq!(list.waiting().len(), 0);
    }

    #[test]
    fn it_is_as_small_as_it_says() {
        assert!(size_of::<UntilBlocked>() <= 64);
    }
}
