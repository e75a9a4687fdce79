use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pm_core::{Cidr, ClientIp};

use super::entry::Standing;
use super::waiting::Place;
use super::{BlockList, Cause, Entry};
use crate::client_prefix::embedded;

/// Why an address is kept out.
#[derive(Clone)]
pub struct Blocked(pub(super) Arc<Standing>);

impl Blocked {
    /// All that is said about it.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.0.entry
    }

    /// The addresses that are blocked.
    #[must_use]
    pub fn prefix(&self) -> Cidr {
        self.0.entry.prefix
    }

    /// Whether it is for violations, or somebody has ordered it.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.0.entry.cause
    }

    /// Until when, in microseconds since 1970; for ever without.
    #[must_use]
    pub fn until_micros(&self) -> Option<i64> {
        self.0.entry.until_micros
    }
}

impl fmt::Debug for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blocked").field(self.entry()).finish()
    }
}

/// The future of [`BlockList::blocked`].
#[must_use = "futures do nothing unless awaited"]
pub struct UntilBlocked {
    list: BlockList,
    client: ClientIp,
    /// For the address, and for the IPv4 address in it.
    places: [Option<Place>; 2],
}

impl UntilBlocked {
    pub(super) const fn new(list: BlockList, client: ClientIp) -> Self {
        Self {
            list,
            client,
            places: [None; 2],
        }
    }
}

impl Future for UntilBlocked {
    type Output = Blocked;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Blocked> {
        let this = self.get_mut();
        if let Some(blocked) = this.list.find(this.client) {
            return Poll::Ready(blocked);
        }
        let addr = this.client.addr();
        let addrs = [Some(addr), embedded(addr)];
        for (addr, place) in addrs.into_iter().zip(&mut this.places) {
            if let Some(addr) = addr {
                this.list.waiting().register(addr, place, cx.waker());
            }
        }
        // Again, now that the waker has its place: what was said between the first look and this
        // has woken only the others.
        this.list
            .find(this.client)
            .map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for UntilBlocked {
    fn drop(&mut self) {
        for place in self.places.into_iter().flatten() {
            self.list.waiting().leave(place);
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
    use std::net::IpAddr;
    use std::pin::pin;
    use std::task::Waker;

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
}
