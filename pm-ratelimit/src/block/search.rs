use std::net::IpAddr;

use pm_core::Clock;

use super::slot::Slot;

/// Looks for what keeps an address out: of the prefixes that contain it, the longest that is blocked,
/// unless one is allowed.
#[derive(Debug)]
pub(super) struct Search<'a> {
    addr: IpAddr,
    clock: &'a Clock,
    /// Read only if something is said for a time.
    now_micros: Option<i64>,
    allowed: bool,
    longest: Option<&'a Slot>,
}

impl<'a> Search<'a> {
    pub(super) const fn of(addr: IpAddr, clock: &'a Clock) -> Self {
        Self {
            addr,
            clock,
            now_micros: None,
            allowed: false,
            longest: None,
        }
    }

    pub(super) const fn addr(&self) -> IpAddr {
        self.addr
    }

    /// Something is said about a prefix that contains the address. To say it again does no harm.
    #[inline]
    pub(super) fn meet(&mut self, slot: &'a Slot) {
        let (now, clock) = (&mut self.now_micros, self.clock);
        if !slot.is_in_force(|| *now.get_or_insert_with(|| clock.wall_micros())) {
            return;
        }
        self.allowed |= slot.allows();
        let known = self.longest;
        if known.is_none_or(|known| known.length() < slot.length()) {
            self.longest = Some(slot);
        }
    }

    /// Whether of shorter prefixes only those that are allowed make a difference.
    #[inline]
    pub(super) const fn has_met_any(&self) -> bool {
        self.longest.is_some()
    }

    /// What keeps the address out, or else the other one.
    #[inline]
    pub(super) fn or(self, other: Self) -> Self {
        let allowed = self.allowed || other.allowed;
        let first = if self.has_met_any() { self } else { other };
        Self { allowed, ..first }
    }

    /// The address, and what keeps it out.
    #[inline]
    pub(super) fn found(self) -> Option<(IpAddr, &'a Slot)> {
        let slot = self.longest.filter(|_| !self.allowed)?;
        Some((self.addr, slot))
    }
}
